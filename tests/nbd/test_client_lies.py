"""Requests of the driver `nbd` that fail, and what becomes of answers that no server may give."""

import asyncio
import errno
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.errors import BlockError
from tests.nbd.on_export import READ, STATUS, WRITE, on_export
from tests.nbd.scripted_server import (
    Peer,
    Request,
    Script,
    ScriptedServer,
    answer,
    chunk,
    data,
    extents,
    negotiate,
    serve,
    simple,
)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def error(code: int, message: bytes = b"") -> bytes:
    return struct.pack(">IH", code, len(message)) + message


Answer = Callable[[Request], bytes]
FAILURES: dict[str, tuple[int, Answer, int]] = {
    "read: no space": (READ, lambda r: chunk(32769, r.cookie, error(28)), errno.ENOSPC),
    "read: with a message": (READ, lambda r: chunk(32769, r.cookie, error(5, b"bad")), errno.EIO),
    "read: at an offset": (READ, lambda r: chunk(32770, r.cookie, error(5) + struct.pack(">Q", 0)), errno.EIO),
    "read: of an unknown kind": (READ, lambda r: chunk(32800, r.cookie, error(95, b"x") + b"yz"), errno.ENOTSUP),
    "read: an unknown number": (READ, lambda r: chunk(32769, r.cookie, error(99)), errno.EINVAL),
    "write: no permission": (WRITE, lambda r: simple(r.cookie, 1), errno.EPERM),
    "write: the first error counts": (
        WRITE,
        lambda r: chunk(32769, r.cookie, error(28), done=False) + chunk(32769, r.cookie, error(5)),
        errno.ENOSPC,
    ),
    "status: nothing": (STATUS, lambda r: chunk(0, r.cookie), errno.EIO),
}
PAGE = bytes(4096)
LIES: dict[str, tuple[int, Answer, int]] = {
    "read: cookie": (READ, lambda r: data(r.cookie + 1, 0, PAGE), errno.EIO),
    "read: magic": (READ, lambda r: b"\1\2\3\4" * 8, errno.EIO),
    "read: absurd length": (READ, lambda r: chunk(32769, r.cookie, length=2**32 - 1), errno.EIO),
    "read: too long": (READ, lambda r: data(r.cookie, 0, PAGE + PAGE), errno.EINVAL),
    "read: elsewhere": (READ, lambda r: data(r.cookie, 4096, PAGE), errno.EINVAL),
    "read: before the start": (READ, lambda r: data(r.cookie, 2**64 - 1, PAGE), errno.EINVAL),
    "read: no data": (READ, lambda r: data(r.cookie, 0, b""), errno.EINVAL),
    "read: nothing": (READ, lambda r: chunk(0, r.cookie), errno.EINVAL),
    "read: half": (READ, lambda r: data(r.cookie, 0, PAGE[:2048]), errno.EINVAL),
    "read: a gap and an overlap": (
        READ,
        lambda r: data(r.cookie, 0, PAGE[:2048], done=False) + data(r.cookie, 1024, PAGE[:2048]),
        errno.EINVAL,
    ),
    "read: endless hole": (READ, lambda r: chunk(2, r.cookie, struct.pack(">QI", 0, 2**32 - 1)), errno.EINVAL),
    "read: short hole": (READ, lambda r: chunk(2, r.cookie, b"abc"), errno.EINVAL),
    "read: simple": (READ, lambda r: simple(r.cookie) + PAGE, errno.EINVAL),
    "read: block status": (READ, lambda r: extents(r.cookie, (4096, 0)), errno.EINVAL),
    "read: unknown chunk": (READ, lambda r: chunk(77, r.cookie), errno.EINVAL),
    "read: no end": (READ, lambda r: chunk(0, r.cookie, done=False), errno.EINVAL),
    "read: no error": (READ, lambda r: chunk(32769, r.cookie, error(0)), errno.EINVAL),
    "read: short error": (READ, lambda r: chunk(32769, r.cookie, b"abc"), errno.EINVAL),
    "read: endless message": (READ, lambda r: chunk(32769, r.cookie, struct.pack(">IH", 5, 200)), errno.EINVAL),
    "write: data": (WRITE, lambda r: data(r.cookie, 0, PAGE), errno.EINVAL),
    "write: cookie": (WRITE, lambda r: simple(0), errno.EIO),
    "status: context": (STATUS, lambda r: extents(r.cookie, (4096, 0), context=9), errno.EINVAL),
    "status: empty": (STATUS, lambda r: extents(r.cookie, (0, 0)), errno.EINVAL),
    "status: short": (STATUS, lambda r: chunk(5, r.cookie, b"\0\0\0\7"), errno.EINVAL),
    "status: odd": (STATUS, lambda r: chunk(5, r.cookie, b"\0\0\0\7" + bytes(11)), errno.EINVAL),
    "status: twice": (
        STATUS,
        lambda r: extents(r.cookie, (4096, 0), done=False) + extents(r.cookie, (4096, 0)),
        errno.EINVAL,
    ),
}


def answering(command: int, how: Answer) -> Script:
    """An honest server but for its first answer to `command`."""

    def script(peer: Peer) -> None:
        negotiate(peer)
        while (request := peer.request()).command != command:
            answer(peer, request)
        peer.send(how(request))
        serve(peer)

    return script


async def ask(node: Node, command: int) -> None:
    asked: dict[int, Callable[[], Awaitable[object]]] = {
        READ: lambda: node.pread(0, 4096),
        WRITE: lambda: node.pwrite(0, PAGE),
        STATUS: lambda: node.block_status(0, 4096),
    }
    await asked[command]()


@pytest.mark.parametrize("name", FAILURES)
def test_a_request_fails_and_the_next_does_not(name: str) -> None:
    command, how, expected = FAILURES[name]

    async def work(node: Node) -> None:
        with pytest.raises(BlockError) as raised:
            await ask(node, command)
        assert raised.value.errno == expected
        await ask(node, READ)

    with ScriptedServer(Path("sock"), answering(command, how)) as server:
        on_export(work)
    assert len(server.peers) == 1


@pytest.mark.parametrize("name", LIES)
def test_a_server_that_lies_is_asked_nothing_more(name: str) -> None:
    command, how, expected = LIES[name]

    async def work(node: Node) -> None:
        with pytest.raises(BlockError) as raised:
            await ask(node, command)
        assert raised.value.errno == expected
        for _ in range(2):
            with pytest.raises(BlockError) as raised:
                await ask(node, READ)
            assert raised.value.errno == errno.EIO

    with ScriptedServer(Path("sock"), answering(command, how)) as server:
        on_export(work, **{"reconnect-delay": "60"})
    assert len(server.peers) == 1, "nobody comes back to it"


def test_a_lie_ends_what_is_in_flight_beside_it() -> None:
    def script(peer: Peer) -> None:
        negotiate(peer)
        peer.request()
        peer.send(data(peer.request().cookie, 0, b"x"))
        peer.receive(1)

    async def work(node: Node) -> None:
        first, second = await asyncio.gather(node.pread(0, 512), node.pread(4096, 512), return_exceptions=True)
        assert isinstance(first, BlockError)
        assert isinstance(second, BlockError)
        assert (first.errno, second.errno) == (errno.EIO, errno.EINVAL)

    with ScriptedServer(Path("sock"), script):
        on_export(work)
