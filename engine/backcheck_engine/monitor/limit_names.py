"""What `block_set_io_throttle` and the block queries call the kinds of limits."""

from typing import Final

KIND_OF_LIMIT: Final = {
    "iops_rd": "iops-read",
    "iops_wr": "iops-write",
    "iops": "iops-total",
    "bps_rd": "bps-read",
    "bps_wr": "bps-write",
    "bps": "bps-total",
}
