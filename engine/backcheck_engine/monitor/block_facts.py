"""What the block queries tell about nodes and devices: BlockDeviceInfo, BlockInfo and ImageInfo of QAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.block.image_facts import image_facts
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.block.throttling import ThrottleLimits
from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.monitor.limit_names import KIND_OF_LIMIT
from backcheck_engine.release import QEMU_7_2, QEMU_10_0, QEMU_11_1

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.block.dirty_bitmap import DirtyBitmap
    from backcheck_engine.block.node import Node
    from backcheck_engine.devices.guest_device import GuestDevice
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.release import Release

_MEMORY_ALIGNMENT = 4096
_MAX_IOV = 1024
_FILES = ("file", "host_device")


def device_info(node: Node, release: Release, backend: BlockBackend | None = None, *, flat: bool = False) -> JsonObject:
    """BlockDeviceInfo of a node, as its device or nobody uses it; `flat` leaves out what lies below."""
    info: JsonObject = {
        **_throttling(backend),
        "file": node.filename,
        "node-name": node.node_name,
        "ro": node.read_only,
        "drv": node.format_name,
        "encrypted": node.encrypted,
        "detect_zeroes": node.detect_zeroes,
        "write_threshold": 0,
        "backing_file_depth": 0 if flat else _backing_depth(node),
        "image": _image_info(node, release, flat=flat),
        "cache": {
            "writeback": backend.write_cache if backend else True,
            "direct": node.cache.direct,
            "no-flush": node.cache.no_flush,
        },
    }
    if release < QEMU_7_2:
        info["encryption_key_missing"] = False
    if release >= QEMU_10_0:
        info["active"] = True
    if release >= QEMU_11_1:
        newest_first = reversed(node.children.items())
        info["children"] = [{"node-name": child.node.node_name, "child": name} for name, child in newest_first]
    if node.overlaid is not None:
        info["backing_file"] = node.overlaid.filename
    if node.bitmaps:
        info["dirty-bitmaps"] = [_bitmap_info(bitmap, release) for bitmap in node.bitmaps]
    return info


def block_info(backend: BlockBackend, guest: GuestDevice | None, context: Context, *, flat: bool = False) -> JsonObject:
    """BlockInfo of a device: its backend, and the guest's device if one is attached."""
    info: JsonObject = {
        "device": backend.name,
        "type": "unknown",
        "locked": False,
        "removable": guest is None or guest.is_removable,
    }
    if guest:
        info["qdev"] = guest.path
        if guest.is_removable:
            info["tray_open"] = guest.tray_open
    if backend.has_io_status:
        info["io-status"] = "ok"
    node = backend.node
    if node is not None:
        info["inserted"] = device_info(node, context.release, backend, flat=flat)
        if context.release < QEMU_7_2 and node.bitmaps:
            info["dirty-bitmaps"] = [_bitmap_info(bitmap, context.release) for bitmap in node.bitmaps]
    return info


def _throttling(backend: BlockBackend | None) -> JsonObject:
    """The limits of a device; those that no limit has are left out, but for the averages."""
    member = backend.throttle if backend is not None else None
    limits = member.group.limits if member is not None else ThrottleLimits()
    info: JsonObject = {key: limits[kind].average for key, kind in KIND_OF_LIMIT.items()}
    for key, kind in KIND_OF_LIMIT.items():
        if limits[kind].maximum:
            info |= {f"{key}_max": limits[kind].maximum, f"{key}_max_length": limits[kind].max_length}
    if limits.iops_size:
        info["iops_size"] = limits.iops_size
    return info if member is None else {**info, "group": member.group.name}


def _backing_depth(node: Node) -> int:
    """How many images lie below; filters that a job put in count too."""
    return len(node.backing_chain()) - 1


def _image_info(node: Node, release: Release, *, flat: bool) -> JsonObject:
    """ImageInfo of a node, with the images that it is based on nested in it."""
    info = image_facts(node)
    if release >= QEMU_11_1:
        info["limits"] = _limits(node)
    below = node.below
    if below is not None and not flat:
        info["backing-image"] = _image_info(below, release, flat=False)
    return info


def _limits(node: Node) -> JsonObject:
    limits = node.limits
    info: JsonObject = {
        "request-alignment": limits.request_alignment,
        "min-mem-alignment": _least_memory_alignment(node),
        "opt-mem-alignment": _MEMORY_ALIGNMENT,
        "max-iov": _MAX_IOV,
    }
    optional = {
        "max-transfer": limits.max_transfer,
        "opt-transfer": limits.optimal_transfer,
        "max-write-zeroes": limits.max_pwrite_zeroes,
        "write-zeroes-alignment": limits.pwrite_zeroes_alignment,
        "max-discard": limits.max_pdiscard,
        "discard-alignment": limits.pdiscard_alignment,
    }
    return info | {name: value for name, value in optional.items() if value}


def _least_memory_alignment(node: Node) -> int:
    """What buffers need: a file read through the page cache nothing, what has no file as much as a sector."""
    below = [child.node for child in node.children.values()]
    if below:
        return max(_least_memory_alignment(one) for one in below)
    if node.format_name not in _FILES:
        return SECTOR_SIZE
    return node.limits.request_alignment if node.cache.direct else 1


def _bitmap_info(bitmap: DirtyBitmap, release: Release) -> JsonValue:
    info: JsonObject = {
        "count": bitmap.count,
        "granularity": bitmap.granularity,
        "recording": bitmap.is_recording,
        "busy": bitmap.busy,
        "persistent": bitmap.persistent,
    }
    if bitmap.name is not None:
        info["name"] = bitmap.name
    if bitmap.inconsistent:
        info["inconsistent"] = True
    if release < QEMU_7_2:
        info["status"] = _bitmap_status(bitmap)
    return info


def _bitmap_status(bitmap: DirtyBitmap) -> str:
    """DirtyBitmapStatus, which was taken out of QAPI in 6.0: the first of these that is so."""
    states = (
        ("inconsistent", bitmap.inconsistent),
        ("frozen", bitmap.successor is not None),
        ("locked", bitmap.busy),
        ("disabled", not bitmap.recording),
    )
    return next((name for name, is_so in states if is_so), "active")
