"""Headers and tables that are wrong: QEMU's words, no traceback, no memory for what a header claims."""

import errno
import json
import struct
import tracemalloc
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError
from tests.qcow1.disks import make, opened
from tests.qcow2.qemu import needs_qemu, run, tool

MiB = 1 << 20
FIELDS = ("magic", "version", "backing", "backing_length", "mtime", "size", "cluster_bits", "l2_bits", "crypt", "l1")
SOUND = dict(zip(FIELDS, (b"QFI\xfb", 1, 0, 0, 0, MiB, 12, 9, 0, 48), strict=True))
WRONG: dict[str, dict[str, bytes | int]] = {
    "magic": {"magic": b"QFJ\xfb"},
    "version 0": {"version": 0},
    "version 2": {"version": 2},
    "version 9": {"version": 9},
    "no size": {"size": 0},
    "one byte": {"size": 1},
    "a size beyond all": {"size": 2**64 - 1},
    "an L1 table of 2 GiB and more": {"size": 2**31 // 8 * 2 * MiB + 1},
    "an L1 table that cannot be read at once": {"size": (2**31 // 8 - 1) * 2 * MiB},
    "cluster bits 8": {"cluster_bits": 8},
    "cluster bits 17": {"cluster_bits": 17},
    "cluster bits 255": {"cluster_bits": 255},
    "l2 bits 5": {"l2_bits": 5},
    "l2 bits 14": {"l2_bits": 14},
    "crypt method 2": {"crypt": 2},
    "a long backing name": {"backing": 48, "backing_length": 1024},
    "a backing name of 4 GiB": {"backing": 48, "backing_length": 2**32 - 1},
    "a backing name beyond all files": {"backing": 2**64 - 1, "backing_length": 10},
    "an L1 table beyond all files": {"l1": 2**64 - 8},
}


def _write(path: Path, wrong: dict[str, bytes | int]) -> None:
    header = struct.pack(">4sIQIIQBBxxIQ", *{**SOUND, **wrong}.values())
    path.write_bytes(header + bytes(8192))


async def _refusal(path: Path) -> BlockError:
    with pytest.raises(BlockError) as caught:
        await open_node(Graph(), {"driver": "qcow"}, filename=str(path))
    return caught.value


@needs_qemu
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_headers_are_refused_in_qemus_words(tmp_path: Path, wrong: dict[str, bytes | int]) -> None:
    path = tmp_path / "image"
    _write(path, wrong)
    refusal = run(lambda: _refusal(path))
    told = tool("qemu-img", "info", "-f", "qcow", path)
    hint = f"\n{refusal.hint}" if refusal.hint else ""
    assert told.stderr.strip() == f"qemu-img: Could not open '{path}': {refusal}{hint}"


def test_what_qemu_tools_open_and_the_engine_cannot(tmp_path: Path) -> None:
    path = tmp_path / "image"
    _write(path, {"crypt": 1})
    assert str(run(lambda: _refusal(path))) == "backcheck-engine does not implement encrypted images yet"


def test_a_large_disk_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "image"
    _write(path, {"size": 2**48})

    async def body() -> None:
        async with opened(path) as node:
            assert bytes(await node.pread(2**48 - 4096, 4096)) == bytes(4096)
            # Its table is almost all beyond the file's end.
            assert (await node.block_status(2**40, 2**47)).length >= 2**40

    tracemalloc.start()
    try:
        run(body)
        assert tracemalloc.get_traced_memory()[1] < 4 * MiB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("entry", "reads"),
    [
        (4097, errno.EIO),
        (2**62, 0),
        (1 << 63 | 100 << 51 | 2**50, errno.EIO),
        (1 << 63 | 512, errno.EIO),
        (1 << 63 | 4095 << 51, errno.EIO),
    ],
    ids=["between sectors", "beyond the file", "compressed beyond the file", "no compressed data", "no such stream"],
)
def test_wrong_l2_entries(tmp_path: Path, entry: int, reads: int) -> None:
    path = tmp_path / "image"
    make(path, MiB)

    async def damage() -> None:
        async with opened(path) as node:
            await node.pwrite(0, b"\1" * 8192)

    run(damage)
    data = bytearray(path.read_bytes())
    (table,) = struct.unpack_from(">Q", data, 48)
    struct.pack_into(">Q", data, table, entry)
    path.write_bytes(data)

    async def body() -> None:
        async with opened(path) as node:
            if reads:
                with pytest.raises(BlockError) as caught:
                    await node.pread(0, 4096)
                assert caught.value.errno == reads
            else:
                assert bytes(await node.pread(0, 4096)) == bytes(4096)
            assert bytes(await node.pread(4096, 4096)) == b"\1" * 4096

    run(body)


def test_a_table_that_lies_on_another_one(tmp_path: Path) -> None:
    """The L1 table, of five entries, names itself as an L2 table, of 64."""
    path, place = tmp_path / "image", 512
    wrong: dict[str, bytes | int] = {"size": 5 * 64 * 512, "cluster_bits": 9, "l2_bits": 6, "l1": place}
    _write(path, wrong)
    data = bytearray(path.read_bytes())
    struct.pack_into(">Q", data, place, place)
    path.write_bytes(data)

    async def body() -> None:
        async with opened(path) as node:
            await node.pwrite(10 * 512, b"\1" * 512)
            assert bytes(await node.pread(10 * 512, 512)) == b"\1" * 512

    run(body)


@needs_qemu
def test_the_map_of_a_place_between_sectors_is_qemus(tmp_path: Path) -> None:
    path = tmp_path / "image"
    make(path, MiB)
    data = bytearray(path.read_bytes().ljust(8192, b"\0"))
    struct.pack_into(">Q", data, 48, 4096)
    struct.pack_into(">2Q", data, 4096, 8193, 12288)
    path.write_bytes(bytes(data).ljust(MiB, b"\0"))
    told = json.loads(tool("qemu-img", "map", "--output=json", "-f", "qcow", path).stdout)

    async def body() -> list[int | None]:
        async with opened(path) as node:
            for attempt in (node.pread(0, 4096), node.pwrite(0, b"\1" * 512)):
                with pytest.raises(BlockError) as caught:
                    await attempt
                assert caught.value.errno == errno.EIO
            return [(await node.block_status(at, MiB - at)).host_offset for at in (0, 4096)]

    assert run(body) == [entry["offset"] for entry in told[:2]]
