"""What `query-blockstats` tells about devices and nodes: BlockStats of QAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backcheck_engine.json_value import JsonObject
from backcheck_engine.release import QEMU_7_2, QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.block.backend import Accounting, BlockBackend
    from backcheck_engine.block.node import Node
    from backcheck_engine.devices.guest_device import GuestDevice
    from backcheck_engine.release import Release

_COUNTERS: Final = (
    *("rd_bytes", "wr_bytes", "unmap_bytes"),
    *("rd_operations", "wr_operations", "flush_operations", "unmap_operations"),
    *("rd_total_time_ns", "wr_total_time_ns", "flush_total_time_ns", "unmap_total_time_ns"),
    *("rd_merged", "wr_merged", "unmap_merged", "wr_highest_offset"),
    *("failed_rd_operations", "failed_wr_operations", "failed_flush_operations", "failed_unmap_operations"),
    *("invalid_rd_operations", "invalid_wr_operations", "invalid_flush_operations", "invalid_unmap_operations"),
)
_ZONE_COUNTERS: Final = (
    *("zone_append_bytes", "zone_append_operations", "zone_append_total_time_ns", "zone_append_merged"),
    *("failed_zone_append_operations", "invalid_zone_append_operations"),
)
_WITH_DRIVER_SPECIFIC: Final = ("file", "host_device")


def device_statistics(backend: BlockBackend, guest: GuestDevice | None, release: Release) -> JsonObject:
    """BlockStats of a device and of the nodes that it uses, with their backing."""
    info: JsonObject = {"device": backend.name}
    if guest:
        info["qdev"] = guest.path
    if backend.node is not None:
        info |= node_statistics(backend.node, release, with_backing=True)
    # An empty drive counts nothing before 6.0.
    counts = backend.node is not None or release >= QEMU_7_2
    highest = 0 if backend.node is None else backend.node.highest_write
    info["stats"] = _stats(release, highest) | _counted(backend.accounting, accounts_all=counts)
    return info


def node_statistics(node: Node, release: Release, *, with_backing: bool = False) -> JsonObject:
    """BlockStats of a node and of those that hold its data."""
    info: JsonObject = {"node-name": node.node_name, "stats": _stats(release, node.highest_write)}
    if node.format_name in _WITH_DRIVER_SPECIFIC:
        info["driver-specific"] = {
            "driver": node.format_name,
            "discard-nb-ok": node.discards.done,
            "discard-nb-failed": node.discards.failed,
            "discard-bytes-ok": node.discards.bytes_done,
        }
    primary = node.primary_child
    if primary is not None:
        info["parent"] = node_statistics(primary.node, release, with_backing=with_backing)
    below = node.below
    if with_backing and below is not None:
        info["backing"] = node_statistics(below, release, with_backing=True)
    return info


def _stats(release: Release, highest_write: int) -> JsonObject:
    """BlockStats of a node, for which nobody counts requests."""
    names = _COUNTERS + _ZONE_COUNTERS if release >= QEMU_10_0 else _COUNTERS
    stats: JsonObject = dict.fromkeys(names, 0)
    stats["wr_highest_offset"] = highest_write
    return stats | {"account_invalid": False, "account_failed": False, "timed_stats": []}


def _counted(accounting: Accounting, *, accounts_all: bool) -> JsonObject:
    """What is counted of a device's requests."""
    return {
        "account_invalid": accounts_all,
        "account_failed": accounts_all,
        "rd_bytes": accounting.read_bytes,
        "wr_bytes": accounting.write_bytes,
        "rd_operations": accounting.read_operations,
        "wr_operations": accounting.write_operations,
        "flush_operations": accounting.flush_operations,
        "failed_rd_operations": accounting.failed_read_operations,
        "failed_wr_operations": accounting.failed_write_operations,
        "failed_flush_operations": accounting.failed_flush_operations,
        "invalid_rd_operations": accounting.invalid_read_operations,
        "invalid_wr_operations": accounting.invalid_write_operations,
    }
