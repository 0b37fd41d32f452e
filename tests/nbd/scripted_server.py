"""A server that says what a test tells it to, byte by byte: it shares no code with the client that it is there to try.

A script is a function that is given the connection; each connection gets the next one, and the last one all the rest.
The socket listens before anybody can connect, and the scripts run in threads of their own.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

OPTION_REPLY_MAGIC = 0x0003E889045565A9
ERROR = 1 << 31
SIZE = 1 << 20
ALL_FLAGS = 0x8ED
"""Has flags, flush, FUA, trim, write zeroes, DF, fast zero."""


class Closed(Exception):
    """The client has gone."""


class Request(NamedTuple):
    flags: int
    command: int
    cookie: int
    offset: int
    length: int


class Peer:
    """One connection, as its script sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.options: list[tuple[int, bytes]] = []
        self.requests: list[Request] = []

    def receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            try:
                part = self._socket.recv(length - len(data))
            except OSError:
                part = b""
            if not part:
                raise Closed
            data += part
        return data

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            raise Closed from None

    def greet(self, flags: int = 3) -> None:
        """The greeting, and the client's answer."""
        self.send(b"NBDMAGICIHAVEOPT" + struct.pack(">H", flags))
        self.receive(4)

    def option(self) -> tuple[int, bytes]:
        """The next option, with its payload."""
        magic, code, length = struct.unpack(">8sII", self.receive(16))
        assert magic == b"IHAVEOPT"
        payload = self.receive(length)
        self.options.append((code, payload))
        return code, payload

    def reply(self, code: int, kind: int, payload: bytes = b"", *, length: int | None = None, magic: int = 0) -> None:
        """A reply to an option."""
        length = len(payload) if length is None else length
        self.send(struct.pack(">QIII", magic or OPTION_REPLY_MAGIC, code, kind, length) + payload)

    def request(self) -> Request:
        """The next request; the data of a write is dropped."""
        request = Request._make(struct.unpack(">4xHHQQI", self.receive(28)))
        self.requests.append(request)
        if request.command == 1:
            self.receive(request.length)
        return request


Script = Callable[[Peer], None]


class ScriptedServer:
    """Listens at `path`; a context manager."""

    def __init__(self, path: Path, *scripts: Script) -> None:
        self._scripts = scripts
        self.peers: list[Peer] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            peer = Peer(connection)
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(script, peer, connection))
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, peer: Peer, connection: socket.socket) -> None:
        try:
            script(peer)
        except Closed:
            pass
        finally:
            connection.close()

    def __enter__(self) -> "ScriptedServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._threads[0].join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()


# Parts of scripts.


def info(size: int = SIZE, flags: int = ALL_FLAGS) -> bytes:
    """The payload of an INFO reply with size and flags."""
    return struct.pack(">HQH", 0, size, flags)


def block_sizes(*sizes: int) -> bytes:
    """The payload of an INFO reply with block sizes."""
    return struct.pack(">HIII", 3, *sizes)


def negotiate(peer: Peer, *, infos: Sequence[bytes] = (info(),), structured: bool = True, context: bool = True) -> None:
    """All of a negotiation, as an honest server does it."""
    peer.greet()
    while True:
        code, payload = peer.option()
        if code == 8 and structured:
            peer.reply(code, 1)
        elif code == 10 and context:
            name_length = struct.unpack(">I", payload[:4])[0]
            peer.reply(code, 4, struct.pack(">I", 7) + payload[name_length + 12 :])
            peer.reply(code, 1)
        elif code == 7:
            for payload in infos:
                peer.reply(code, 3, payload)
            peer.reply(code, 1)
            return
        else:
            peer.reply(code, ERROR | 1)


def simple(cookie: int, error: int = 0) -> bytes:
    """A simple reply without data."""
    return struct.pack(">IIQ", 0x67446698, error, cookie)


def chunk(kind: int, cookie: int, payload: bytes = b"", *, done: bool = True, length: int | None = None) -> bytes:
    """A chunk of a structured reply."""
    length = len(payload) if length is None else length
    return struct.pack(">IHHQI", 0x668E33EF, done, kind, cookie, length) + payload


def data(cookie: int, offset: int, content: bytes, *, done: bool = True) -> bytes:
    """A chunk of data."""
    return chunk(1, cookie, struct.pack(">Q", offset) + content, done=done)


def extents(cookie: int, *pairs: tuple[int, int], context: int = 7, done: bool = True) -> bytes:
    """A chunk of block status."""
    payload = struct.pack(">I", context) + b"".join(struct.pack(">II", *pair) for pair in pairs)
    return chunk(5, cookie, payload, done=done)


def answer(peer: Peer, request: Request) -> None:
    """What an honest server answers about a disk of zeroes."""
    if request.command == 0:
        peer.send(data(request.cookie, request.offset, bytes(request.length)))
    elif request.command == 7:
        peer.send(extents(request.cookie, (request.length, 0)))
    else:
        peer.send(simple(request.cookie))


def serve(peer: Peer) -> None:
    """Answer honestly until the client takes leave."""
    while (request := peer.request()).command != 2:
        answer(peer, request)


def honest(peer: Peer) -> None:
    """All of an honest server."""
    negotiate(peer)
    serve(peer)
