"""What `query-blockstats` tells about devices and nodes: BlockStats of QAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backcheck_engine.json_value import JsonObject
from backcheck_engine.release import QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.block.backend import Accounting, BlockBackend
    from backcheck_engine.block.node import Node
    from backcheck_engine.monitor.guest_device import GuestDevice
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
    """BlockStats of a device and of the nodes that it uses."""
    info: JsonObject = {"device": backend.name, "stats": _stats(release, backend.accounting)}
    if guest:
        info["qdev"] = guest.path
    if backend.node is not None:
        info |= _node_part(backend.node, release)
        info["stats"] = _stats(release, backend.accounting)
    return info


def node_statistics(node: Node, release: Release) -> JsonObject:
    """BlockStats of a node and of those below it."""
    return _node_part(node, release)


def _node_part(node: Node, release: Release) -> JsonObject:
    info: JsonObject = {"node-name": node.node_name, "stats": _stats(release, None)}
    if node.format_name in _WITH_DRIVER_SPECIFIC:
        info["driver-specific"] = {
            "driver": node.format_name,
            "discard-nb-ok": 0,
            "discard-nb-failed": 0,
            "discard-bytes-ok": 0,
        }
    primary = node.primary_child
    if primary is not None:
        info["parent"] = _node_part(primary.node, release)
    if node.overlaid is not None:
        info["backing"] = _node_part(node.overlaid, release)
    return info


def _stats(release: Release, accounting: Accounting | None) -> JsonObject:
    names = _COUNTERS + _ZONE_COUNTERS if release >= QEMU_10_0 else _COUNTERS
    stats: JsonObject = dict.fromkeys(names, 0)
    stats |= {"account_invalid": accounting is not None, "account_failed": accounting is not None, "timed_stats": []}
    if accounting:
        stats |= {
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
    return stats
