"""Reads and writes of qcow images, compressed ones too: what the engine writes qemu-img reads, and the reverse."""

import asyncio
import errno
import json
import random
import struct
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.errors import BlockError
from tests.qcow1.disks import content, make, opened, qemu_sees
from tests.qcow2.qemu import needs_qemu, qemu_img, qemu_io, run, tool

KiB, MiB = 1 << 10, 1 << 20
CLUSTER = 4 * KiB
SIZE = 2 * MiB + 5 * KiB
"""More than one L2 table describes, and a part of a cluster at the end."""


def _text(length: int, seed: int = 0) -> bytes:
    """Text that compresses to about a third."""
    return b"".join(b"%d bottles\n" % (number * 7919) for number in range(seed, seed + length // 8))[:length]


async def _write_at_random(node: Node, model: bytearray, generator: random.Random) -> None:
    """Plain writes of any place and length, compressed ones of whole clusters, over each other."""
    kinds = [_text(300 * KiB), generator.randbytes(300 * KiB), bytes(300 * KiB)]
    for number in range(60):
        data = generator.choice(kinds)[512 * number :]
        if generator.random() < 0.5:
            offset = generator.randrange(0, SIZE, 512)
            data = data[: min(SIZE - offset, generator.choice([1, 100, 512, 5000, 200 * KiB]))]
            await node.pwrite(offset, data)
        else:
            offset = generator.randrange(0, SIZE, CLUSTER)
            data = data[: min(SIZE - offset, CLUSTER)]
            await node.pwrite_compressed(offset, data)
        model[offset : offset + len(data)] = data


@needs_qemu
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_written_is_what_is_read(tmp_path: Path, seed: int) -> None:
    image, model, generator = tmp_path / "image", bytearray(SIZE), random.Random(seed)
    make(image, SIZE)

    async def body() -> None:
        async with opened(image) as node:
            await _write_at_random(node, model, generator)
            for offset, length in ((0, SIZE), (700, MiB), (SIZE - 5000, 5000), (2 * MiB - 1, 2)):
                assert bytes(await node.pread(offset, length)) == model[offset : offset + length]

    run(body)
    assert content(image) == model
    qemu_sees(image, bytes(model), tmp_path)


@needs_qemu
def test_a_write_over_several_tables_of_an_empty_disk(tmp_path: Path) -> None:
    image, data = tmp_path / "image", _text(5 * MiB)
    make(image, 8 * MiB)

    async def body() -> None:
        async with opened(image) as node:
            await node.pwrite(MiB + 512, data)
            first = await node.block_status(0, node.size)
            assert (first.data, first.length) == (False, MiB)

    run(body)
    qemu_sees(image, bytes(MiB + 512) + data + bytes(2 * MiB - 512), tmp_path)


@needs_qemu
def test_what_qemu_compresses_is_read(tmp_path: Path) -> None:
    image, raw = tmp_path / "image", tmp_path / "raw"
    data = _text(MiB) + bytes(MiB) + random.Random(1).randbytes(5 * KiB)
    raw.write_bytes(data)
    tool("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow", raw, image)  # stores all, and has exit status 1
    qemu_img("compare", "-f", "raw", "-F", "qcow", raw, image)
    assert content(image) == data


@needs_qemu
def test_the_map_is_qemus(tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(image, SIZE)

    async def body() -> list[tuple[int, int, bool, bool, int | None]]:
        found = []
        async with opened(image) as node:
            await node.pwrite(0, _text(10 * CLUSTER))
            await node.pwrite_compressed(20 * CLUSTER, _text(CLUSTER))
            await node.pwrite(SIZE - 512, b"\1" * 512)
            await node.pwrite(40 * CLUSTER, b"\1" * 512)
            offset = 0
            while offset < node.size:
                status = await node.block_status(offset, node.size - offset)
                found.append((offset, status.length, status.zero, status.data, status.host_offset))
                offset += status.length
        return found

    ours = run(body)
    theirs = json.loads(qemu_img("map", "--output=json", "-f", "qcow", image))
    keys = ("start", "length", "zero", "data")
    # The second L2 table begins at 2 MiB, where the engine's answers end and qemu-img's go on.
    joined = [entry for entry in ours if entry[0] != 2 * MiB]
    assert [entry[0] for entry in joined] == [entry["start"] for entry in theirs]
    assert [(*(entry[key] for key in keys[2:]), entry.get("offset")) for entry in theirs] == [
        entry[2:] for entry in joined
    ]


@needs_qemu
def test_clusters_and_tables_lie_where_qemu_puts_them(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    writes = [(2 * MiB, 512), (CLUSTER, 3 * CLUSTER), (0, 512), (512, 5 * CLUSTER), (20 * CLUSTER, 100 * CLUSTER)]
    make(ours, SIZE)
    theirs.write_bytes(ours.read_bytes())
    compressed = 300 * CLUSTER

    async def body() -> None:
        async with opened(ours) as node:
            for offset, length in writes:
                await node.pwrite(offset, b"\1" * length)
            await node.pwrite_compressed(compressed, b"\1" * CLUSTER)
            await node.pwrite(compressed + CLUSTER, b"\1" * 512)

    run(body)
    commands = [f"write -P 1 {offset} {length}" for offset, length in writes]
    commands += [f"write -c -P 1 {compressed} {CLUSTER}", f"write -P 1 {compressed + CLUSTER} 512"]
    qemu_io(theirs, *commands, options=("-f", "qcow"))
    maps = [qemu_img("map", "--output=json", "-f", "qcow", image) for image in (ours, theirs)]
    assert maps[0] == maps[1]


@needs_qemu
@pytest.mark.parametrize("size", [511, 1000, 2 * CLUSTER + 700])
def test_a_disk_ends_with_a_whole_sector(tmp_path: Path, size: int) -> None:
    """Whatever its header says."""
    image = tmp_path / "image"
    make(image, MiB)
    data = bytearray(image.read_bytes())
    struct.pack_into(">Q", data, 24, size)
    image.write_bytes(data)
    told = qemu_img("info", "--output=json", "-f", "qcow", image)

    async def body() -> int:
        async with opened(image) as node:
            last = node.size & -CLUSTER
            await node.pwrite_compressed(last, b"\1" * (node.size - last))
            return node.size

    assert run(body) == json.loads(told)["virtual-size"]


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 2 * CLUSTER), (0, 16 * CLUSTER), (512, CLUSTER), (0, 512), (2 * MiB, CLUSTER), (2 * MiB + CLUSTER, 512)],
)
def test_a_compressed_write_is_one_cluster(tmp_path: Path, offset: int, length: int) -> None:
    image = tmp_path / "image"
    make(image, SIZE)

    async def body() -> None:
        async with opened(image) as node:
            if (offset, length) in ((2 * MiB, CLUSTER),):
                await node.pwrite_compressed(offset, bytes(length))
                return
            with pytest.raises(BlockError) as caught:
                await node.pwrite_compressed(offset, bytes(length))
            assert caught.value.errno == errno.EINVAL

    run(body)


@needs_qemu
def test_an_overlay_reads_what_it_has_not(tmp_path: Path) -> None:
    base, image = tmp_path / "base", tmp_path / "image"
    below, model = _text(MiB), bytearray(_text(MiB) + bytes(MiB))
    base.write_bytes(below)
    make(image, 2 * MiB, backing_file=str(base), backing_fmt="raw")

    async def body() -> None:
        async with opened(image) as node:
            assert node.driver.info().cluster_size == 512  # type: ignore[union-attr]
            for offset, data in ((1000, b"guest" * 300), (MiB - 100, b"x" * 300)):
                await node.pwrite(offset, data)
                model[offset : offset + len(data)] = data
            await node.pwrite_compressed(4096, bytes(512))
            model[4096 : 4096 + 512] = bytes(512)
            assert bytes(await node.pread(0, 2 * MiB)) == model

    run(body)
    qemu_sees(image, bytes(model), tmp_path)


def test_a_part_of_a_large_cluster_keeps_what_the_backing_has(tmp_path: Path) -> None:
    """QEMU makes no overlays of such clusters, and shows zeroes beside the write when it is given one."""
    base, image, below = tmp_path / "base", tmp_path / "image", bytearray(_text(64 * KiB))
    base.write_bytes(below)
    make(image, 64 * KiB)

    async def body() -> None:
        backing = {"backing.driver": "raw", "backing.file.filename": str(base), "backing.file.driver": "file"}
        async with opened(image, **backing) as node:
            for offset, data in ((5000, b"guest"), (12 * KiB - 1, b"\0" * 6000)):
                await node.pwrite(offset, data)
                below[offset : offset + len(data)] = data
            assert bytes(await node.pread(0, 64 * KiB)) == below

    run(body)


def test_writes_side_by_side_into_one_cluster(tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(image, MiB)

    async def body() -> None:
        async with opened(image) as node:
            await node.pwrite_compressed(0, _text(CLUSTER))
            sectors = [bytes([number + 1]) * 512 for number in range(16)]
            await asyncio.gather(*(node.pwrite(512 * number, data) for number, data in enumerate(sectors)))
            assert bytes(await node.pread(0, 16 * 512)) == b"".join(sectors)

    run(body)


@needs_qemu
def test_emptied_it_shows_its_backing(tmp_path: Path) -> None:
    base, image, below = tmp_path / "base", tmp_path / "image", _text(64 * KiB)
    base.write_bytes(below)
    make(image, 64 * KiB, backing_file="base", backing_fmt="raw")
    length = image.stat().st_size

    async def body() -> None:
        async with opened(image) as node:
            await node.pwrite(0, b"guest")
            await node.driver.make_empty()
            assert bytes(await node.pread(0, 64 * KiB)) == below

    run(body)
    assert image.stat().st_size <= length
    qemu_sees(image, below, tmp_path)
