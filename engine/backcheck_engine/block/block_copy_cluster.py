"""The unit in which a disk is copied, and the warning about a target that does not say what its own is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.block_copy import DEFAULT_CLUSTER_SIZE
from backcheck_engine.errors import BlockError
from backcheck_engine.version import PACKAGE

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_NO_CLUSTER_SIZE: Final = {
    True: (
        "warning: The target block device doesn't provide information about the block size and it doesn't have a "
        "backing file. The default block size of {0} bytes is used. If the actual block size of the target exceeds "
        "this default, the backup may be unusable"
    ),
    False: (
        "warning: The target block device doesn't provide information about the block size and it doesn't have a "
        "backing file. The (default) block size of {0} bytes is used. If the actual block size of the target exceeds "
        "this value, the backup may be unusable"
    ),
}
"""By whether the release is older than 9.2."""


def job_cluster_size(target: Node, min_cluster_size: int = 0) -> int:
    """The unit in which a backup to `target` copies, in bytes.

    It is at least the target's own cluster, since writing less would need the target's backing to be right already.
    Raises BlockError when the target cannot say and has no backing.
    """
    default = max(DEFAULT_CLUSTER_SIZE, min_cluster_size)
    has_backing = target.skip_filters().overlaid is not None
    try:
        info = target.driver.info()
    except BlockError as error:
        if has_backing:
            return default
        raise error.prefixed(
            "Couldn't determine the cluster size of the target image, which has no backing file: "
        ) from error
    if info is not None:
        return max(default, info.cluster_size)
    if not has_backing:
        warn_of_unknown_cluster_size(default)
    return default


def warn_of_unknown_cluster_size(used: int) -> None:
    """Tell the person at the terminal that the target may have larger clusters than the backup."""
    text = _NO_CLUSTER_SIZE[release.current() < release.QEMU_10_0].format(used)
    program = f"{PACKAGE}: " if release.current() >= release.QEMU_11_1 else ""
    print(f"{program}{text}", file=sys.stderr, flush=True)
