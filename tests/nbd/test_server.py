"""The server with clients that behave badly, come in numbers, or read in pieces; what an export holds and lets go."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd.export import BitmapReference, ExportSettings
from backcheck_engine.nbd.export_list import ExportList
from backcheck_engine.nbd.server import Server
from tests.block.loop import run
from tests.nbd.raw_client import GO, READ, STRUCTURED, WRITE, RawClient, export

SIZE = 4 * 2**20
KiB = 1024


class Served:
    """A raw image, exported for writers as `disk`, and its server."""

    def __init__(self, node: Node, exports: ExportList, listener: socket.socket, deleted: list[str]) -> None:
        self.node, self.graph = node, node.graph
        self.exports = exports
        self.place = listener.getsockname()
        self.deleted = deleted
        """The ids of exports that are gone."""

    async def client(self, *, structured: bool = False, chooses: bool = True) -> RawClient:
        """A client; all that it does is done in a thread, so that the server can answer."""
        return await asyncio.to_thread(self._connect, structured, chooses)

    def _connect(self, structured: bool, chooses: bool) -> RawClient:
        client = RawClient(Path(self.place))
        if structured:
            client.option(STRUCTURED)
        if chooses:
            client.option(GO, export("disk"))
        return client


@asynccontextmanager
async def served(folder: Path, **limits: int) -> AsyncIterator[Served]:
    (folder / "disk.img").write_bytes(content())
    node = await open_node(Graph(), {"driver": "raw", "read-only": "off"}, filename=str(folder / "disk.img"))
    deleted: list[str] = []
    exports = ExportList(deleted.append)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()
    exports.server = Server(exports, [listener], **limits)
    await exports.add(ExportSettings(identity="export0", name="disk", writable=True), node)
    try:
        yield Served(node, exports, listener, deleted)
    finally:
        if exports.server is not None:
            await exports.stop_server()
        await node.unref()


def content() -> bytes:
    """A byte pattern in which no two places of a page's distance are alike, with a hole in it."""
    pages = [bytes([number % 251]) * 4096 for number in range(SIZE // 4096)]
    for number in range(300, 400):
        pages[number] = bytes(4096)
    return b"".join(pages)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\0" * 3,
        b"\x25\x60\x95\x13" + b"\0" * 10,
        b"\xff" * 28,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        # The head of a write of 1 MiB, and half of its data; of one of 4 GiB.
        b"\x25\x60\x95\x13\0\0\0\1" + bytes(18) + b"\x10\0\0" + bytes(512 * KiB),
        b"\x25\x60\x95\x13\0\0\0\1" + bytes(16) + b"\xff\xff\xff\xff" + bytes(100),
    ],
    ids=["silence", "half a magic", "half a head", "noise", "another protocol", "half a write", "a write of 4 GiB"],
)
@pytest.mark.parametrize("chooses", [False, True], ids=["in the handshake", "afterwards"])
def test_nonsense_hurts_nobody_else(tmp_path: Path, nonsense: bytes, chooses: bool) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            bad, good = await server.client(chooses=chooses), await server.client()
            await asyncio.to_thread(bad.send, nonsense)
            await asyncio.to_thread(good.request, READ, 4096, 4096)
            bad.socket.close()
            await asyncio.to_thread(good.request, WRITE, 0, 4, 0, b"abcd")
            good.socket.close()
            assert good.notes[-1].endswith("error=0 0 b''")
            assert "error=0 4096" in good.notes[-2]
        assert (tmp_path / "disk.img").read_bytes() == b"abcd" + content()[4:]

    run(main())


def test_who_never_reads_is_not_read_from_for_ever(tmp_path: Path) -> None:
    """Requests of which no answers are taken stay in the socket; others are served, and the export can go."""

    async def main() -> None:
        async with served(tmp_path) as server:
            idle, good = await server.client(), await server.client()
            request = b"\x25\x60\x95\x13" + bytes(20) + (2**20).to_bytes(4, "big")
            sending = asyncio.ensure_future(asyncio.to_thread(idle.send, request * 100_000))
            await asyncio.to_thread(good.request, READ, 0, 4096)
            assert "error=0 4096" in good.notes[-1]
            assert not sending.done(), "requests are taken without end"
            (shown,) = server.exports.newest_first()
            await server.exports.request_shutdown(shown)
            await server.exports.close_all()
            assert server.deleted == ["export0"]
            await sending
            idle.socket.close()
            good.socket.close()

    run(main())


def test_only_so_many_clients_are_let_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, max_connections=2) as server:
            first, second = await server.client(), await server.client()
            third = asyncio.ensure_future(server.client())
            await asyncio.to_thread(second.request, READ, 0, 512)
            assert not third.done()
            first.socket.close()
            client = await third
            await asyncio.to_thread(client.request, READ, 0, 512)
            assert "error=0 512" in client.notes[-1]
            for each in (second, client):
                each.socket.close()

    run(main())


def test_a_handshake_ends_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, handshake_max_s=1) as server:
            slow, quick = await server.client(chooses=False), await server.client()
            with pytest.raises(EOFError):
                await asyncio.to_thread(slow.take, 1)
            await asyncio.to_thread(quick.request, READ, 0, 512)
            assert "error=0 512" in quick.notes[-1]
            for each in (slow, quick):
                each.socket.close()

    run(main())


@pytest.mark.parametrize("structured", [False, True], ids=["simple", "structured"])
@pytest.mark.parametrize("seed", range(4))
def test_reads_that_are_asked_for_together(tmp_path: Path, seed: int, structured: bool) -> None:
    """In order or not, over holes and data, of any length: each request gets its own bytes."""
    rng = random.Random(seed)
    wanted: list[tuple[int, int]] = []
    offset = 0
    for _ in range(60):
        if rng.random() < 0.2:
            offset = rng.randrange(SIZE)
        length = min(rng.choice((1, 512, 4096, 64 * KiB, 200 * KiB)), SIZE - offset)
        if length:
            wanted.append((offset, length))
        offset = (offset + length) % SIZE
    expected = content()

    def ask(client: RawClient) -> dict[int, bytes]:
        client.send(
            b"".join(
                b"\x25\x60\x95\x13\0\0\0\0"
                + cookie.to_bytes(8, "big")
                + offset.to_bytes(8, "big")
                + length.to_bytes(4, "big")
                for cookie, (offset, length) in enumerate(wanted)
            )
        )
        return dict(read_reply(client, wanted) for _ in wanted)

    async def main() -> None:
        async with served(tmp_path) as server:
            client = await server.client(structured=structured)
            answers = await asyncio.to_thread(ask, client)
            client.socket.close()
        assert answers == {n: expected[start : start + length] for n, (start, length) in enumerate(wanted)}

    run(main())


def read_reply(client: RawClient, wanted: list[tuple[int, int]]) -> tuple[int, bytes]:
    """(cookie, data) of the next whole reply; the chunks of one are not mixed with those of others here."""
    data: dict[int, bytearray] = {}
    while True:
        head = client.take(16)
        if head[:4] == b"\x67\x44\x66\x98":
            cookie = int.from_bytes(head[8:], "big")
            assert not int.from_bytes(head[4:8], "big")
            return cookie, client.take(wanted[cookie][1])
        kind, cookie = int.from_bytes(head[6:8], "big"), int.from_bytes(head[8:], "big")
        start, length = wanted[cookie]
        payload = client.take(int.from_bytes(client.take(4), "big"))
        place = int.from_bytes(payload[:8], "big") - start
        piece = payload[8:] if kind == 1 else bytes(int.from_bytes(payload[8:], "big"))
        whole = data.setdefault(cookie, bytearray(length))
        whole[place : place + len(piece)] = piece
        if head[5] & 1:
            return cookie, bytes(whole)


def test_a_request_waits_while_its_node_is_drained(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            client = await server.client()
            async with server.node.drained():
                asking = asyncio.ensure_future(asyncio.to_thread(client.request, WRITE, 0, 4, 0, b"abcd"))
                other = await server.client()
                assert not asking.done()
            await asking
            assert client.notes[-1].endswith("error=0 0 b''")
            for each in (client, other):
                each.socket.close()

    run(main())


def test_what_an_export_holds(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            writer = BlockBackend(server.graph, permissions=Permission.RESIZE)
            with pytest.raises(BlockError, match="resize"):
                writer.insert(server.node)
            bitmap = server.node.bitmaps.create(65536, name="b0")
            with_bitmap = ExportSettings(
                identity="export1", name="b", writable=True, bitmaps=[BitmapReference("b0"), BitmapReference("b0")]
            )
            shown = await server.exports.add(with_bitmap, server.node)
            assert bitmap.busy
            with pytest.raises(BlockError, match="is currently in use"):
                await server.exports.add(ExportSettings(**{**_fields(with_bitmap), "name": "c"}), server.node)
            await server.exports.request_shutdown(shown)
            assert not bitmap.busy
            assert server.deleted == ["export1"]
            await server.exports.stop_server()
            writer.insert(server.node)
            await writer.close()
            assert not (tmp_path / "s").exists()

    run(main())


def _fields(settings: ExportSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in ("identity", "name", "writable", "bitmaps")}


def test_a_medium_that_is_taken_out_takes_its_exports_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            drive = BlockBackend(server.graph, "disk0", permissions=Permission.CONSISTENT_READ)
            drive.insert(server.node)
            (shown,) = server.exports.newest_first()
            server.exports.remove_with(shown, drive)
            client = await server.client()
            await drive.close()
            with pytest.raises(EOFError):
                await asyncio.to_thread(client.take, 1)
            client.socket.close()
            await server.exports.close_all()
            assert server.deleted == ["export0"]

    run(main())
