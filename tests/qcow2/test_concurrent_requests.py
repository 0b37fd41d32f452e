"""Many requests in flight at once, their I/O finishing in any order: each leaves exactly what it wrote."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import Buffer, RequestFlag
from tests.qcow2.qemu import check, needs_qemu, opened, qemu_img, qemu_io, run

KiB, MiB = 1 << 10, 1 << 20
SIZE = 2 * MiB

OPTIONS = {
    "default": "compat=1.1",
    "cluster-2M": "cluster_size=2M",
    "extended": "extended_l2=on",
    "cluster-512": "cluster_size=512",
    "zero-clusters-with-place": "preallocation=metadata",
}


def _shuffle_io(node: Node, generator: random.Random) -> None:
    """Let each request to the image's file wait for a random number of turns of the loop."""
    driver = node.file.driver
    write, read = driver.pwrite, driver.pread

    async def late_write(offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        for _ in range(generator.randrange(5)):
            await asyncio.sleep(0)
        await write(offset, data, flags)

    async def late_read(offset: int, length: int) -> Buffer:
        for _ in range(generator.randrange(5)):
            await asyncio.sleep(0)
        return await read(offset, length)

    driver.pwrite, driver.pread = late_write, late_read  # type: ignore[method-assign]


def _slots(generator: random.Random) -> list[tuple[int, int]]:
    """The disk cut into ranges of 512 bytes to 100 KiB, in random order."""
    slots, at = [], 0
    while at < SIZE:
        length = min(generator.choice([512, 2 * KiB, 4 * KiB, 20 * KiB, 100 * KiB]), SIZE - at)
        slots.append((at, length))
        at += length
    generator.shuffle(slots)
    return slots


async def _request(node: Node, content: bytearray, slot: tuple[int, int], generator: random.Random) -> None:
    offset, length = slot
    for _ in range(2):
        match generator.randrange(5):
            case 0:
                await node.pwrite_zeroes(offset, length, generator.choice([RequestFlag.NONE, RequestFlag.MAY_UNMAP]))
                content[offset : offset + length] = bytes(length)
            case 1:
                await node.flush()
            case _:
                data = generator.randbytes(length)
                await node.pwrite(offset, data)
                content[offset : offset + length] = data
        assert bytes(await node.pread(offset, length)) == content[offset : offset + length]


@needs_qemu
@pytest.mark.parametrize("has_snapshot", [False, True], ids=["", "snapshot"])
@pytest.mark.parametrize("name", OPTIONS)
def test_requests_in_flight_do_not_disturb_each_other(
    name: str, has_snapshot: bool, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    path, raw = tmp_path / "t.qcow2", tmp_path / "m.raw"
    for seed in range(repetitions(20)):
        print(f"seed {seed}")
        generator = random.Random(seed)
        qemu_img("create", "-q", "-f", "qcow2", "-o", OPTIONS[name], path, str(SIZE))
        content = bytearray(SIZE)
        if has_snapshot:
            qemu_io(path, "write -P 3 0 1M", "write -z 512k 64k")
            content[:MiB] = b"\x03" * MiB
            content[512 * KiB : 576 * KiB] = bytes(64 * KiB)
            qemu_img("snapshot", "-c", "s0", path)

        async def use(generator: random.Random = generator, content: bytearray = content) -> None:
            async with opened(path) as node:
                _shuffle_io(node, generator)
                await asyncio.gather(*(_request(node, content, slot, generator) for slot in _slots(generator)))

        run(use)
        check(path)
        raw.write_bytes(content)
        qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, path)
        if has_snapshot:
            qemu_img("snapshot", "-a", "s0", path)
            check(path)
            qemu_io(path, "read -P 3 0 512k", "read -P 0 512k 64k", "read -P 3 576k 448k", "read -P 0 1M 1M")


@needs_qemu
def test_a_discard_waits_for_writes_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, str(SIZE))
    qemu_io(path, "write -P 1 0 2M")

    async def use() -> None:
        async with opened(path) as node:
            _shuffle_io(node, random.Random(1))
            writes = [node.pwrite(offset, b"\x07" * 4096) for offset in range(0, SIZE, 64 * KiB)]
            discards = [node.discard(offset, 64 * KiB) for offset in range(0, SIZE, 128 * KiB)]
            moves = [node.pwrite(offset + 32 * KiB, b"\x09" * 4096) for offset in range(0, SIZE, 64 * KiB)]
            await asyncio.gather(*writes, *discards, *moves)
            for offset in range(0, SIZE, 64 * KiB):
                assert set(bytes(await node.pread(offset, 64 * KiB))) <= {0, 1, 7, 9}

    run(use)
    check(path)
