"""vmdk images opened by the engine, beside the installed qemu-img that says what is in them."""

import json
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.creation import create_image
from backcheck_engine.json_value import JsonObject
from tests.qcow2.qemu import qemu_img, run

SUBFORMATS = ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"]
GRAIN = 65536


@asynccontextmanager
async def opened(path: Path, *, read_only: bool = False, driver: str = "vmdk") -> AsyncIterator[Node]:
    """An image opened by the engine."""
    tree: JsonObject = {"driver": driver, "read-only": read_only}
    node = await open_node(Graph(), tree, filename=str(path))
    try:
        yield node
    finally:
        await node.unref()


def make(path: Path, size: int, **options: str) -> None:
    """An image made by the engine."""
    run(lambda: create_image(Graph(), str(path), "vmdk", size=size, options=options, quiet=True))


def content(path: Path) -> bytes:
    """What the engine reads from the whole image."""

    async def read() -> bytes:
        async with opened(path, read_only=True) as node:
            return bytes(await node.pread(0, node.size))

    return run(read)


def holds(path: Path, expected: bytes, folder: Path) -> None:
    """The image is sound and holds that content, says qemu-img."""
    raw = folder / "expected.raw"
    raw.write_bytes(expected)
    qemu_img("check", "-f", "vmdk", path)
    qemu_img("compare", "-f", "raw", "-F", "vmdk", raw, path)


def places(path: Path) -> dict[int, int]:
    """Where the grains of a hosted extent lie in its file, in bytes, by its tables; their copies are the same."""
    data = path.read_bytes()
    (grain,), (entries,) = struct.unpack_from("<Q", data, 20), struct.unpack_from("<I", data, 44)
    found = [
        [entry for at in tables for entry in struct.unpack_from(f"<{entries}I", data, at)]
        for tables in table_offsets(path)
    ]
    assert found[0] == found[1]
    return {number * grain * 512: entry * 512 for number, entry in enumerate(found[0]) if entry > 1}


def table_offsets(path: Path) -> tuple[list[int], list[int]]:
    """Where in the file of a hosted extent its grain tables are, and their copies."""
    data = path.read_bytes()
    capacity, grain = struct.unpack_from("<QQ", data, 12)
    entries, redundant, directory = struct.unpack_from("<IQQ", data, 44)
    count = -(-capacity // (grain * entries))
    tables, copies = (
        [sector * 512 for sector in struct.unpack_from(f"<{count}I", data, place * 512)]
        for place in (directory, redundant)
    )
    return tables, copies


def lies_apart(path: Path) -> None:
    """No grain of a hosted extent lies on another one or on its tables; compressed ones say which they are."""
    data = path.read_bytes()
    grain, first = struct.unpack_from("<Q", data, 20)[0] * 512, struct.unpack_from("<Q", data, 64)[0] * 512
    is_packed = bool(struct.unpack_from("<H", data, 77)[0])
    end = first
    for host, guest in sorted((host, guest) for guest, host in places(path).items()):
        assert host >= end
        end = host + grain
        if is_packed:
            sector, length = struct.unpack_from("<QI", data, host)
            assert sector * 512 == guest
            end = host + 12 + length
            assert end <= len(data)
    assert len(data) % 512 == 0


def maps_alike(path: Path) -> None:
    """The engine sees the same in the same places as qemu-img does."""
    theirs = json.loads(qemu_img("map", "--output=json", "-f", "vmdk", path))

    async def look() -> list[tuple[int, int, bool, bool, int | None]]:
        found: list[tuple[int, int, bool, bool, int | None]] = []
        async with opened(path, read_only=True) as node:
            offset = 0
            while offset < node.size:
                status = await node.block_status(offset, node.size - offset)
                found.append((offset, status.length, status.zero, status.data, status.host_offset))
                offset += status.length
        return found

    keys = ("start", "length", "zero", "data")
    expected = [(*(entry[key] for key in keys), entry.get("offset")) for entry in theirs]
    assert _joined(run(look)) == expected


def _joined(found: list[tuple[int, int, bool, bool, int | None]]) -> list[tuple[int, int, bool, bool, int | None]]:
    """The same with neighbours joined that are of one kind and one place, as qemu-img joins them."""
    joined: list[tuple[int, int, bool, bool, int | None]] = []
    for start, length, zero, data, place in found:
        if joined:
            before, size, *kind = joined[-1]
            expected_place = None if kind[2] is None else kind[2] + size
            if kind[:2] == [zero, data] and place == expected_place:
                joined[-1] = (before, size + length, zero, data, kind[2])
                continue
        joined.append((start, length, zero, data, place))
    return joined


def start_of(path: Path, length: int) -> bytes:
    """The first bytes of a file, which may be long."""
    with path.open("rb") as file:
        return file.read(length)


def text_of(path: Path) -> str:
    """The descriptor of an image in one file, or the descriptor file."""
    data = start_of(path, 20000)
    return (data[512:] if data.startswith(b"KDMV") else data).split(b"\0")[0].decode()


def without_ids(text: str) -> str:
    """A descriptor without the content ids, which are random."""
    return re.sub(r"(?m)^(parent)?CID=(?!ffffffff).*$", "CID", text)
