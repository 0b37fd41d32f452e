"""What a node does with requests, against a model: a bytearray."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.memory import MemoryDriver, OverlayDriver, memory_drivers

SIZE = 16 * 1024

few_examples = settings(max_examples=settings().max_examples // 4)
"""There are many stacks of nodes to try them on."""

STACKS: dict[str, JsonObject] = {
    "memory": {"driver": "memory"},
    "blocks of 512": {"driver": "memory", "align": 512},
    "blocks of 4096, short transfers": {"driver": "memory", "align": 4096, "max-transfer": 4096},
    "cannot zero": {"driver": "memory", "align": 512, "can-zero": False, "max-transfer": 1024},
    "raw window": {"driver": "raw", "offset": 512, "size": SIZE, "file": {"driver": "memory", "size": SIZE + 1024}},
    "blkdebug": {
        "driver": "blkdebug",
        "align": 1024,
        "opt-write-zero": 2048,
        "max-write-zero": 4096,
        "opt-discard": 2048,
        "max-transfer": 2048,
        "image": {"driver": "memory", "align": 512},
    },
    "detects zeroes": {"driver": "memory", "detect-zeroes": "unmap", "align": 512},
    "overlay": {"driver": "overlay", "size": SIZE, "backing": {"driver": "memory", "align": 512}},
    "overlay, longer": {"driver": "overlay", "size": SIZE, "backing": {"driver": "memory", "size": SIZE // 2 + 512}},
    "overlay, shorter": {"driver": "overlay", "size": SIZE, "backing": {"driver": "memory", "size": 2 * SIZE}},
    "overlays": {
        "driver": "overlay",
        "size": SIZE,
        "backing": {"driver": "overlay", "size": SIZE // 2, "backing": {"driver": "memory", "size": 2 * SIZE}},
    },
}


@dataclass(frozen=True)
class Request:
    kind: str
    offset: int
    length: int
    pattern: int
    flags: RequestFlag


@st.composite
def requests(draw: st.DrawFn) -> Request:
    offset = draw(st.integers(0, SIZE - 1))
    length = draw(st.one_of(st.integers(0, SIZE - offset), st.just(min(512, SIZE - offset))))
    flags = draw(st.sampled_from([RequestFlag.NONE, RequestFlag.FUA, RequestFlag.MAY_UNMAP, RequestFlag.SERIALISING]))
    kind = draw(st.sampled_from(["write", "zero", "discard", "read", "status"]))
    return Request(kind, offset, length, draw(st.integers(0, 3)), flags)


async def open_stack(name: str) -> Node:
    return await open_node(Graph(), STACKS[name] | {"discard": "unmap"})


def fill(node: Node) -> bytearray:
    """Give every memory below a content of its own; returns what the top shows."""
    chain = [node] if node.overlaid is None else node.backing_chain()
    content = bytearray(SIZE)
    for depth, layer in enumerate(reversed(chain)):
        bottom = layer
        while bottom.primary_child is not None:
            bottom = bottom.primary_child.node
        if isinstance(bottom.driver, MemoryDriver):
            memory = bottom.driver.content
            memory[:] = bytes((index // 512 * 7 + depth) % 251 for index in range(len(memory)))
            start = 512 if layer.format_name == "raw" else 0
            shown = memory[start : start + SIZE]
            content[: len(shown)] = shown
        elif isinstance(layer.driver, OverlayDriver):
            content = content[: layer.size].ljust(SIZE, b"\0")
    return content


async def apply(node: Node, model: bytearray, request: Request) -> None:
    start, end = request.offset, request.offset + request.length
    data = bytes([request.pattern]) * request.length
    if request.kind == "write":
        await node.pwrite(start, data, request.flags & ~RequestFlag.MAY_UNMAP)
        model[start:end] = data
    elif request.kind == "zero":
        await node.pwrite_zeroes(start, request.length, request.flags)
        model[start:end] = bytes(request.length)
    elif request.kind == "discard":
        await node.discard(start, request.length)
        # A discard is advice: whatever it left is the content now, and it must not have touched the rest.
        model[start:end] = await node.pread(start, request.length)
    elif request.kind == "read":
        assert await node.pread(start, request.length) == model[start:end]
    else:
        await check_status(node, model, start, end)


async def check_status(node: Node, model: bytearray, start: int, end: int) -> None:
    while start < end:
        status = await node.block_status_above(None, start, end - start)
        assert 0 < status.length <= end - start
        if status.zero:
            assert not any(model[start : start + status.length])
        start += status.length


@pytest.mark.parametrize("stack", STACKS)
@few_examples
@given(story=st.lists(requests(), max_size=12))
@example(story=[Request("zero", 1, 1022, 0, RequestFlag.NONE), Request("write", 511, 2, 0, RequestFlag.NONE)])
def test_requests_do_what_they_do_to_a_bytearray(stack: str, story: list[Request]) -> None:
    async def play() -> None:
        node = await open_stack(stack)
        model = fill(node)
        for request in story:
            await apply(node, model, request)
        assert await node.pread(0, SIZE) == model
        await check_status(node, model, 0, SIZE)
        assert node.in_flight == 0
        await node.unref()

    with memory_drivers():
        run(play())


@pytest.mark.parametrize("stack", ["blocks of 512", "blocks of 4096, short transfers", "blkdebug", "cannot zero"])
@few_examples
@given(
    cuts=st.lists(st.integers(1, SIZE - 1), unique=True, min_size=1, max_size=12).map(sorted),
    kinds=st.lists(st.sampled_from(["write", "zero"]), min_size=13, max_size=13),
)
def test_neighbouring_writes_at_once_lose_nothing(stack: str, cuts: list[int], kinds: list[str]) -> None:
    """Unaligned writes share blocks: reading, merging and writing one must not undo its neighbour."""

    async def play() -> None:
        node = await open_stack(stack)
        model = fill(node)
        bounds = [0, *cuts, SIZE]
        pieces = [
            Request(kind, start, end - start, 1 + index, RequestFlag.NONE)
            for index, (kind, start, end) in enumerate(zip(kinds, bounds, bounds[1:], strict=False))
        ]
        await asyncio.gather(*(apply(node, model, piece) for piece in pieces))
        assert await node.pread(0, SIZE) == model
        await node.unref()

    with memory_drivers():
        run(play())


Act = Callable[[Node], Awaitable[object]]

OUTSIDE: dict[str, Act] = {
    "read before 0": lambda node: node.pread(-1, 1),
    "read of less than nothing": lambda node: node.pread(0, -1),
    "read beyond what an image can be": lambda node: node.pread(2**63 - 1, 1),
    "write of more than a request can be": lambda node: node.pwrite_zeroes(2**63 - 512, 1024),
    "discard before 0": lambda node: node.discard(-512, 512),
}


@pytest.mark.parametrize("act", OUTSIDE.values(), ids=OUTSIDE)
def test_what_no_image_holds_is_an_io_error(act: Act) -> None:
    async def play() -> int:
        node = await open_stack("memory")
        with pytest.raises(BlockError) as caught:
            await act(node)
        await node.unref()
        return caught.value.errno

    with memory_drivers():
        assert run(play()) == errno.EIO


def test_reading_past_the_end_gives_zeroes_and_writing_grows() -> None:
    async def play() -> tuple[bytes, int]:
        node = await open_stack("memory")
        await node.pwrite(SIZE - 1, b"abc")
        data = bytes(await node.pread(SIZE - 1, 5))
        await node.unref()
        return data, node.cached_size

    with memory_drivers():
        assert run(play()) == (b"abc\0\0", SIZE + 512)


def test_a_read_only_node_refuses_writes() -> None:
    async def play() -> list[int]:
        node = await open_node(Graph(), {"driver": "memory", "read-only": True, "discard": "unmap"})
        errors = []
        for act in (node.pwrite(0, b"x"), node.pwrite_zeroes(0, 1), node.discard(0, 1)):
            with pytest.raises(BlockError) as caught:
                await act
            errors.append(caught.value.errno)
        await node.unref()
        return errors

    with memory_drivers():
        assert run(play()) == [errno.EPERM] * 3


def test_zeroes_without_fallback_write_no_buffers() -> None:
    async def play() -> tuple[int, int]:
        cannot, can = await open_stack("cannot zero"), await open_stack("memory")
        with pytest.raises(BlockError) as refused:
            await cannot.pwrite_zeroes(0, 1024, RequestFlag.NO_FALLBACK)
        blocks = await open_stack("blocks of 512")
        with pytest.raises(BlockError) as unaligned:
            await blocks.pwrite_zeroes(1, 1024, RequestFlag.NO_FALLBACK)
        await can.pwrite_zeroes(0, 1024, RequestFlag.NO_FALLBACK)
        assert "write" not in can.driver.log
        for node in (cannot, can, blocks):
            await node.unref()
        return refused.value.errno, unaligned.value.errno

    with memory_drivers():
        assert run(play()) == (errno.ENOTSUP, errno.ENOTSUP)


def test_flush_reaches_the_protocol_once_per_write() -> None:
    async def play() -> list[str]:
        node = await open_node(Graph(), {"driver": "memory"})
        await node.flush()
        await node.pwrite(0, b"x")
        await node.flush()
        await node.flush()
        await node.pwrite(0, b"x", RequestFlag.FUA)
        log = list(node.driver.log)
        await node.unref()
        return log

    with memory_drivers():
        assert run(play()) == ["write", "flush", "write", "flush"]


def test_no_flush_keeps_flushes_from_the_protocol() -> None:
    async def play() -> list[str]:
        node = await open_node(Graph(), {"driver": "memory", "cache.no-flush": "on"})
        await node.pwrite(0, b"x", RequestFlag.FUA)
        await node.flush()
        log = list(node.driver.log)
        await node.unref()
        return log

    with memory_drivers():
        assert run(play()) == ["write"]
