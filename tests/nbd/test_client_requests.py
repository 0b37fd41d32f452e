"""Requests of the driver `nbd`: what goes over the wire, and what its answers mean."""

import asyncio
import contextlib
import struct
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import BlockStatus, RequestFlag
from backcheck_engine.errors import BlockError
from tests.nbd.on_export import FLUSH, READ, STATUS, TRIM, WRITE, ZERO, on_export
from tests.nbd.scripted_server import (
    ALL_FLAGS,
    SIZE,
    Peer,
    Script,
    ScriptedServer,
    block_sizes,
    chunk,
    data,
    extents,
    honest,
    info,
    negotiate,
    serve,
    simple,
)

KIB = 1024
KNOWN = (READ, WRITE, FLUSH, TRIM, ZERO, STATUS)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def export(*infos: bytes, structured: bool = True, context: bool = True) -> Script:
    """An honest server with an export of its own."""

    def script(peer: Peer) -> None:
        negotiate(peer, infos=infos, structured=structured, context=context)
        if structured:
            serve(peer)
            return
        while (request := peer.request()).command != 2:
            peer.send(simple(request.cookie) + bytes(request.length if request.command == READ else 0))

    return script


def sent(server: ScriptedServer) -> list[tuple[int, int, int, int]]:
    """(command, flags, offset, length) of what came, without what every client says in the end."""
    requests = [(one.command, one.flags, one.offset, one.length) for one in server.peers[0].requests]
    assert [request[0] for request in requests[-2:]] == [FLUSH, 2]
    return requests[:-2]


def test_each_request_and_its_flags() -> None:
    async def work(node: Node) -> None:
        await node.pwrite(0, b"x" * KIB)
        await node.pwrite(KIB, b"x" * KIB, RequestFlag.FUA)
        await node.pwrite_zeroes(0, 4 * KIB)
        await node.pwrite_zeroes(0, 4 * KIB, RequestFlag.MAY_UNMAP | RequestFlag.FUA)
        await node.pwrite_zeroes(0, 4 * KIB, RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK)
        await node.discard(KIB, 2 * KIB)
        await node.flush()
        assert bytes(await node.pread(0, KIB)) == bytes(KIB)
        await node.block_status(0, SIZE)

    with ScriptedServer(Path("sock"), honest) as server:
        on_export(work)
    assert sent(server) == [
        (WRITE, 0, 0, KIB),
        (WRITE, 1, KIB, KIB),
        (ZERO, 2, 0, 4 * KIB),
        (ZERO, 1, 0, 4 * KIB),
        (ZERO, 16, 0, 4 * KIB),
        (TRIM, 0, KIB, 2 * KIB),
        (FLUSH, 0, 0, 0),
        (READ, 0, 0, KIB),
        (STATUS, 8, 0, SIZE),
    ]


def test_a_server_that_can_only_read_and_write() -> None:
    async def work(node: Node) -> None:
        await node.pwrite(0, b"x" * KIB, RequestFlag.FUA)
        await node.pwrite_zeroes(0, KIB)
        await node.discard(0, KIB)
        status = await node.block_status(0, SIZE)
        assert (status.data, status.zero, status.length) == (True, False, SIZE)
        assert node.limits.request_alignment == 512

    with ScriptedServer(Path("sock"), export(info(flags=1), structured=False)) as server:
        on_export(work)
    assert [(one.command, one.length) for one in server.peers[0].requests] == [(WRITE, KIB), (WRITE, KIB), (2, 0)]


@pytest.mark.parametrize(
    ("sizes", "size", "alignment", "largest"),
    [
        (None, SIZE, 1, 32 * KIB * KIB),
        ((512, 4096, 1 << 25), SIZE, 512, 32 * KIB * KIB),
        ((4096, 4096, 2**32 - 1), SIZE, 4096, 32 * KIB * KIB),
        ((1, 4096, 65536), SIZE, 1, 65536),
        (None, 1000, 1, 32 * KIB * KIB),
    ],
)
def test_limits(sizes: tuple[int, int, int] | None, size: int, alignment: int, largest: int) -> None:
    async def work(node: Node) -> None:
        limits = node.limits
        assert (limits.request_alignment, limits.max_transfer, limits.max_pwrite_zeroes) == (
            alignment,
            largest,
            largest,
        )
        assert limits.max_pdiscard == (2**31 - 1) // alignment * alignment

    infos = [info(size)] + ([block_sizes(*sizes)] if sizes else [])
    with ScriptedServer(Path("sock"), export(*infos)):
        on_export(work)


def test_requests_keep_to_the_blocks_of_the_server() -> None:
    async def work(node: Node) -> None:
        await node.pwrite(100, b"x" * 100)
        await node.pwrite(0, b"y" * 20480)

    with ScriptedServer(Path("sock"), export(info(), block_sizes(4096, 4096, 8192))) as server:
        on_export(work)
    assert sent(server) == [
        (READ, 0, 0, 4096),
        (WRITE, 0, 0, 4096),
        (WRITE, 0, 0, 8192),
        (WRITE, 0, 8192, 8192),
        (WRITE, 0, 16384, 4096),
    ]


def test_a_last_sector_that_the_server_has_in_part_ends_in_zeroes() -> None:
    def script(peer: Peer) -> None:
        negotiate(peer, infos=[info(1000)])
        while (request := peer.request()).command == READ:
            peer.send(data(request.cookie, request.offset, b"x" * request.length))
        peer.send(simple(request.cookie))

    async def work(node: Node) -> None:
        assert node.size == 1024
        assert bytes(await node.pread(512, 512)) == b"x" * 488 + bytes(24)

    with ScriptedServer(Path("sock"), script) as server:
        on_export(work)
    assert [(one.offset, one.length) for one in server.peers[0].requests if one.command == READ] == [(512, 488)]


def test_sixteen_requests_are_in_flight_and_their_answers_come_in_any_order() -> None:
    def script(peer: Peer) -> None:
        negotiate(peer)
        for _ in range(2):
            for request in reversed([peer.request() for _ in range(16)]):
                content = struct.pack(">Q", request.offset) * (request.length // 8)
                half = request.length // 2
                peer.send(data(request.cookie, request.offset + half, content[half:], done=False))
                peer.send(data(request.cookie, request.offset, content[:half]))
        serve(peer)

    async def work(node: Node) -> None:
        reads = await asyncio.gather(*(node.pread(offset * KIB, KIB) for offset in range(32)))
        assert [bytes(read) for read in reads] == [struct.pack(">Q", at * KIB) * 128 for at in range(32)]

    with ScriptedServer(Path("sock"), script):
        on_export(work)


def test_holes_and_chunks_make_one_answer() -> None:
    def script(peer: Peer) -> None:
        negotiate(peer)
        request = peer.request()
        peer.send(data(request.cookie, 4096, b"b" * 4096, done=False))
        peer.send(chunk(2, request.cookie, struct.pack(">QI", 8192, 4096), done=False))
        peer.send(data(request.cookie, 0, b"a" * 4096, done=False))
        peer.send(chunk(0, request.cookie))
        serve(peer)

    async def work(node: Node) -> None:
        assert bytes(await node.pread(0, 12288)) == b"a" * 4096 + b"b" * 4096 + bytes(4096)

    with ScriptedServer(Path("sock"), script):
        on_export(work)


STATUSES: dict[str, tuple[tuple[tuple[int, int], ...], tuple[bool, bool, int]]] = {
    "data": (((SIZE, 0),), (True, False, SIZE)),
    "hole": (((SIZE, 1),), (False, False, SIZE)),
    "zero": (((SIZE, 2),), (True, True, SIZE)),
    "zero hole": (((SIZE, 3),), (False, True, SIZE)),
    "first of two": (((4096, 3), (4096, 0)), (False, True, 4096)),
    "longer than asked": (((2 * SIZE, 3),), (False, True, SIZE)),
}


@pytest.mark.parametrize("name", STATUSES)
def test_block_status(name: str) -> None:
    pairs, expected = STATUSES[name]

    def script(peer: Peer) -> None:
        negotiate(peer)
        request = peer.request()
        peer.send(extents(request.cookie, *pairs))
        serve(peer)

    async def work(node: Node) -> None:
        status: BlockStatus = await node.block_status(0, SIZE)
        assert (status.data, status.zero, status.length) == expected

    with ScriptedServer(Path("sock"), script):
        on_export(work)


@pytest.mark.parametrize(
    ("size", "exact", "expected"),
    [
        (SIZE, True, None),
        (SIZE // 2, False, None),
        (SIZE // 2, True, "Cannot resize NBD nodes"),
        (2 * SIZE, True, "Cannot resize NBD nodes"),
        (2 * SIZE, False, "Cannot grow NBD nodes"),
    ],
)
def test_an_export_keeps_its_size(size: int, exact: bool, expected: str | None) -> None:
    async def work(node: Node) -> None:
        with pytest.raises(BlockError) if expected else contextlib.nullcontext() as raised:
            await node.truncate(size, exact=exact)
        assert raised is None or raised.value.message == expected
        assert node.size == SIZE

    with ScriptedServer(Path("sock"), honest):
        on_export(work)


def test_a_read_only_export() -> None:
    async def work(node: Node) -> None:
        assert node.read_only

    with ScriptedServer(Path("sock"), export(info(flags=ALL_FLAGS | 2))):
        with pytest.raises(BlockError, match=r"^Could not open image: Permission denied$"):
            on_export(work)
        on_export(work, **{"auto-read-only": "on"})
        on_export(work, **{"read-only": "on"})


def test_a_context_that_the_server_lacks() -> None:
    async def work(node: Node) -> None:
        raise AssertionError

    with (
        ScriptedServer(Path("sock"), export(info(), context=False)),
        pytest.raises(BlockError, match=r"^Could not open image: Invalid argument$"),
    ):
        on_export(work, **{"x-dirty-bitmap": "qemu:dirty-bitmap:b0"})
