"""What is known about one node's image, as QAPI's BlockNodeInfo. No text is made here."""

from typing import TYPE_CHECKING

from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    from backcheck_engine.block.image_upkeep import Snapshot
    from backcheck_engine.block.node import Node


def image_facts(node: "Node") -> JsonObject:
    """The facts about the image, without those about the nodes below. Raises BlockError."""
    info: JsonObject = {
        "filename": node.filename,
        "format": node.format_name,
        "virtual-size": node.size,
    }
    allocated = node.allocated_size()
    if allocated is not None:
        info["actual-size"] = allocated
    if node.encrypted:
        info["encrypted"] = True
    driver_info = node.driver.info()
    if driver_info is not None:
        if driver_info.cluster_size:
            info["cluster-size"] = driver_info.cluster_size
        info["dirty-flag"] = driver_info.is_dirty
    specific = node.driver.specific_info()
    if specific is not None:
        info["format-specific"] = specific
    info.update(_backing_info(node))
    snapshots = node.driver.snapshots()
    if snapshots:
        info["snapshots"] = [_snapshot_info(snapshot) for snapshot in snapshots]
    return info


def _backing_info(node: "Node") -> JsonObject:
    if not node.backing_file:
        return {}
    info: JsonObject = {"backing-filename": node.backing_file}
    full = full_backing_filename(node)
    if full is not None:
        info["full-backing-filename"] = full
    if node.backing_format:
        info["backing-filename-format"] = node.backing_format
    return info


def full_backing_filename(node: "Node") -> str | None:
    """The backing file's name as it is to be opened, or None where the image's own place is unknown."""
    from backcheck_engine.block.filenames import relative_to_image
    from backcheck_engine.block.node_filename import directory_base

    try:
        return relative_to_image(directory_base(node), node.backing_file)
    except BlockError:
        return None


def _snapshot_info(snapshot: "Snapshot") -> JsonValue:
    info: JsonObject = {
        "id": snapshot.id,
        "name": snapshot.name,
        "vm-state-size": snapshot.vm_state_size,
        "date-sec": snapshot.date_seconds,
        "date-nsec": snapshot.date_nanoseconds,
        "vm-clock-sec": snapshot.vm_clock_nanoseconds // 10**9,
        "vm-clock-nsec": snapshot.vm_clock_nanoseconds % 10**9,
    }
    if snapshot.icount is not None:
        info["icount"] = snapshot.icount
    return info
