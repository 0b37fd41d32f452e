"""What is known about one image, as QEMU's tools and monitor print it for people: lines from BlockNodeInfo."""

import time
from collections.abc import Iterator
from typing import cast

from backcheck_engine import release
from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.qemu_io.numbers import size_text
from backcheck_engine.qemu_io.specific_info import specific_info_lines

_SNAPSHOT_COLUMNS = {True: "{:<9} {:<16} {:>8} {:>19} {:>12} {:>10}", False: "{:<7} {:<16} {:>8} {:>19} {:>15} {:>10}"}
"""By whether the release is older than 10.0."""
_SNAPSHOT_HEADINGS = {
    True: ("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT"),
    False: ("ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT"),
}


def image_lines(info: JsonObject, *, is_protocol: bool = False) -> Iterator[str]:
    """The lines about an image; `is_protocol` words them for a node below a format."""
    size = cast("int", info["virtual-size"])
    used = cast("int | None", info.get("actual-size"))
    names = ("filename", "protocol type", "file length") if is_protocol else ("image", "file format", "virtual size")
    yield f"{names[0]}: {info['filename']}"
    yield f"{names[1]}: {info['format']}"
    yield f"{names[2]}: {size_text(size)} ({size} bytes)"
    yield f"disk size: {'unavailable' if used is None else size_text(used)}"
    if info.get("encrypted"):
        yield "encrypted: yes"
    if "cluster-size" in info:
        yield f"cluster_size: {info['cluster-size']}"
    if info.get("compressed"):
        yield "compressed: yes"
    if info.get("dirty-flag"):
        yield "cleanly shut down: no"
    if "backing-filename" in info:
        yield from _backing_lines(info)
    if "snapshots" in info:
        yield from _snapshot_lines(_objects(info["snapshots"]))
    if "limits" in info:
        yield from specific_info_lines({"data": info["limits"]}, "Block limits:")
    if "format-specific" in info:
        yield from specific_info_lines(cast("JsonObject", info["format-specific"]))


def _backing_lines(info: JsonObject) -> Iterator[str]:
    name, full = info["backing-filename"], info.get("full-backing-filename")
    note = "" if full == name else " (cannot determine actual path)" if full is None else f" (actual path: {full})"
    yield f"backing file: {name}{note}"
    if "backing-filename-format" in info:
        yield f"backing file format: {info['backing-filename-format']}"


def _snapshot_lines(snapshots: list[JsonObject]) -> Iterator[str]:
    is_old = release.current() < release.QEMU_10_0
    row = _SNAPSHOT_COLUMNS[is_old]
    yield "Snapshot list:"
    yield row.format(*_SNAPSHOT_HEADINGS[is_old])
    for snapshot in snapshots:
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(cast("int", snapshot["date-sec"])))
        seconds, nanoseconds = cast("int", snapshot["vm-clock-sec"]), cast("int", snapshot["vm-clock-nsec"])
        clock = f"{seconds // 60 % 60:02}:{seconds % 60:02}.{nanoseconds // 10**6:03}"
        hours = f"{seconds // 3600:02}" if is_old else f"{seconds // 3600:04}"
        yield row.format(
            snapshot["id"],
            snapshot["name"],
            size_text(cast("int", snapshot["vm-state-size"])),
            date,
            f"{hours}:{clock}",
            snapshot.get("icount", "" if is_old else "--"),
        )


def _objects(value: JsonValue) -> list[JsonObject]:
    return cast("list[JsonObject]", value or [])
