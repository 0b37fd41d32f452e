"""What is read through a copy-before-write filter is the moment at which it came, whatever guests do meanwhile."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import Buffer
from backcheck_engine.errors import BlockError
from tests.block.loop import run
from tests.block.memory import MemoryDriver, memory_drivers

KiB = 1024
UNIT = 64 * KiB
SIZE = 4 * UNIT
START = bytes(index // (4 * KiB) % 251 for index in range(SIZE))


@pytest.fixture(scope="module", autouse=True)
def _memory_drivers() -> Iterator[None]:
    with memory_drivers():
        yield


class Filtered:
    """A disk in memory, the filter above it, and a reader of its snapshot."""

    def __init__(self, source: Node, guest: Node, reader: Node) -> None:
        self.guest, self.reader = guest, reader
        assert isinstance(source.driver, MemoryDriver)
        self.disk = source.driver
        self.disk.content[:] = START


@asynccontextmanager
async def filtered(target_size: int = SIZE, **options: str) -> AsyncIterator[Filtered]:
    graph = Graph()
    trees = [
        {"driver": "memory", "node-name": "source", "size": SIZE},
        {"driver": "memory", "node-name": "target", "size": target_size},
        {"driver": "copy-before-write", "node-name": "filter", "file": "source", "target": "target", **options},
        {"driver": "snapshot-access", "node-name": "snapshot", "file": "filter", "discard": "unmap"},
    ]
    nodes = [await open_node(graph, dict(tree)) for tree in trees]
    yield Filtered(nodes[0], nodes[2], nodes[3])
    for node in reversed(nodes):
        await node.unref()


ranges = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 2 * UNIT)).map(
    lambda one: (one[0], min(one[1], SIZE - one[0]))
)
programs = st.lists(st.tuples(st.sampled_from(["write", "zero", "read", "status"]), ranges), min_size=2, max_size=12)


@settings(max_examples=settings().max_examples // 3)
@given(programs)
def test_readers_never_see_what_guests_write(program: list[tuple[str, tuple[int, int]]]) -> None:
    async def perform(disk: Filtered, what: str, offset: int, length: int) -> None:
        if what == "write":
            await disk.guest.pwrite(offset, b"\xff" * length)
        elif what == "zero":
            await disk.guest.pwrite_zeroes(offset, length)
        elif what == "read":
            assert bytes(await disk.reader.pread(offset, length)) == START[offset : offset + length]
        else:
            status = await disk.reader.block_status(offset, length)
            assert 0 < status.length <= length

    async def story() -> None:
        async with filtered() as disk:
            await asyncio.gather(*(perform(disk, what, *where) for what, where in program))
            assert bytes(await disk.reader.pread(0, SIZE)) == START

    run(story())


def test_a_write_waits_for_who_reads_the_old_data_from_the_disk() -> None:
    async def story() -> None:
        entered, let_go = asyncio.Event(), asyncio.Event()

        class HeldRead(MemoryDriver):
            async def pread(self, offset: int, length: int) -> Buffer:
                if not entered.is_set():
                    entered.set()
                    await let_go.wait()
                return await super().pread(offset, length)

        async with filtered() as disk:
            disk.disk.__class__ = HeldRead
            reading = asyncio.ensure_future(disk.reader.pread(0, UNIT))
            await entered.wait()
            writing = asyncio.ensure_future(disk.guest.pwrite(4 * KiB, b"\xff"))
            await disk.guest.pwrite(UNIT, b"\xff")
            assert not writing.done()
            let_go.set()
            assert bytes(await reading) == START[:UNIT]
            await writing
            assert disk.disk.content[4 * KiB] == 0xFF

    run(story())


def test_a_target_that_is_too_small_fails_what_it_has_no_room_for() -> None:
    async def story() -> None:
        async with filtered(target_size=SIZE // 2 + 4 * KiB) as disk:
            await disk.guest.pwrite(SIZE // 2 - 1, b"\xff")
            with pytest.raises(BlockError) as raised:
                await disk.guest.pwrite(SIZE // 2, b"\xff")
            assert raised.value.errno == errno.ENOSPC
            assert bytes(await disk.reader.pread(0, SIZE)) == START

    run(story())
