"""A program killed between any two writes leaves no bitmap that is trusted and wrong, and leaked clusters at worst."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from tests.qcow2.qemu import needs_qemu, opened, qemu_img, qemu_io, tool
from tests.qcow2.write_log import Write, record_writes, replay

KiB, MiB = 1 << 10, 1 << 20
LEAKS_ONLY = 3
OPTIONS = {
    "default": "cluster_size=64k",
    "cluster-512": "cluster_size=512",
    "refcount-1": "cluster_size=4k,refcount_bits=1",
}
Digests = dict[str, str]


async def _session(path: Path, generator: random.Random) -> tuple[list[Write], Digests, Digests]:
    """(the writes from an opening to the close, what the bitmaps held before, and what after)."""
    graph = Graph()
    file = await open_node(graph, {"driver": "file", "filename": str(path), "node-name": "file"})
    log = record_writes(file)
    node = await open_node(graph, {"driver": "qcow2", "discard": "unmap", "file": "file"})
    before = _digests(node)
    for _ in range(12):
        await _change_something(node, generator)
    after = _digests(node)
    await node.unref()
    await file.unref()
    return log, before, after


def _digests(node: Node) -> Digests:
    return {str(bitmap.name): bitmap.sha256() for bitmap in node.bitmaps if not bitmap.inconsistent}


async def _change_something(node: Node, generator: random.Random) -> None:
    bitmaps = list(node.bitmaps)
    match generator.randrange(6):
        case 0 if len(bitmaps) > 1:
            victim = generator.choice(bitmaps)
            await node.driver.remove_stored_bitmap(str(victim.name))
            node.bitmaps.remove(victim)
        case 1:
            granularity = generator.choice([512, 4 * KiB, MiB])
            bitmap = node.bitmaps.create(granularity, name=f"n{generator.randrange(10**9)}")
            bitmap.persistent = True
        case 2:
            await node.truncate(generator.randrange(2 * MiB, 6 * MiB) // 512 * 512, exact=True)
        case 3:
            await node.discard(0, MiB)
        case _:
            offset = generator.randrange(node.size)
            await node.pwrite(offset, b"x" * min(200 * KiB, node.size - offset))


@needs_qemu
@pytest.mark.parametrize("name", OPTIONS)
def test_every_prefix_of_the_writes_has_sound_bitmaps(
    name: str, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    path, crashed = tmp_path / "t.qcow2", tmp_path / "crashed.qcow2"
    for seed in range(repetitions(10)):
        generator = random.Random(seed)
        qemu_img("create", "-q", "-f", "qcow2", "-o", OPTIONS[name], path, "4M")
        for bitmap in ("b0", "b1", "b2"):
            qemu_img("bitmap", "--add", "-g", generator.choice(["512", "64k"]), path, bitmap)
        qemu_io(path, "write 0 1M", "write 3M 512")
        start = path.read_bytes()
        log, before, after = asyncio.run(_session(path, generator))
        assert replay(start, log) == path.read_bytes()
        tool("qemu-img", "check", "-f", "qcow2", path)
        for count in sorted({*range(6), len(log), *generator.sample(range(len(log)), min(40, len(log)))}):
            crashed.write_bytes(replay(start, log[:count]))
            done = tool("qemu-img", "check", "-f", "qcow2", crashed)
            assert done.returncode in (0, LEAKS_ONLY), (seed, count, done.stdout + done.stderr)
            trusted = asyncio.run(_trusted(crashed))
            assert trusted.items() <= before.items() or trusted == after, (seed, count, len(log))
        assert trusted == after


async def _trusted(path: Path) -> Digests:
    async with opened(path, read_only=True) as node:
        return _digests(node)
