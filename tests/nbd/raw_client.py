"""A client that sends what it is told, sensible or not, and notes each answer as a line of text."""

import socket
import struct
from contextlib import suppress
from pathlib import Path

READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZERO, STATUS = range(8)
NAME, ABORT, LIST, PEEK, TLS, INFO, GO, STRUCTURED, LIST_META, SET_META = range(1, 11)
ACK, ERROR = 1, 1 << 31
PATIENCE_S = 20


def texts(*parts: str) -> bytes:
    """Each behind its length."""
    return b"".join(struct.pack(">I", len(part)) + part.encode() for part in parts)


def export(name: str, *infos: int) -> bytes:
    """The payload of INFO and GO."""
    return texts(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def contexts(name: str, *queries: str) -> bytes:
    """The payload of LIST_META and SET_META."""
    return texts(name) + struct.pack(">I", len(queries)) + texts(*queries)


class RawClient:
    """One connection, whose greeting has been read."""

    def __init__(self, place: Path | socket.socket, flags: int = 3) -> None:
        if isinstance(place, Path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(place))
        else:
            self.socket = place
        self.socket.settimeout(PATIENCE_S)
        self.notes: list[str] = []
        self.take(18)
        self.send(struct.pack(">I", flags))

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        # That a server has gone is seen when its answer does not come.
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def take(self, length: int) -> bytes:
        """Exactly so many bytes. Raises EOFError when they do not come."""
        data = b""
        while len(data) < length:
            try:
                piece = self.socket.recv(length - len(data))
            except ConnectionError:
                piece = b""
            if not piece:
                raise EOFError
            data += piece
        return data

    def option(self, code: int, payload: bytes = b"", *, length: int | None = None, magic: bytes = b"IHAVEOPT") -> None:
        self.send(magic + struct.pack(">II", code, len(payload) if length is None else length) + payload)
        kind = 0
        while kind != ACK and not kind & ERROR:
            try:
                _, _, kind, size = struct.unpack(">QIII", self.take(20))
                self.notes.append(f"option {code}: {kind:#x} {self.take(size)!r}")
            except EOFError:
                self.notes.append(f"option {code}: gone")
                return

    def request(
        self, command: int, offset: int = 0, length: int = 0, flags: int = 0, data: bytes = b"", magic: int = 0x25609513
    ) -> None:
        self.post(command, offset, length, flags, data, magic)
        what = f"{command} {offset} {length} flags={flags}"
        try:
            while self._answer(what, command, length):
                pass
        except EOFError:
            self.notes.append(f"{what}: gone")

    def post(
        self, command: int, offset: int, length: int, flags: int = 0, data: bytes = b"", magic: int = 0x25609513
    ) -> None:
        """A request whose answer nobody reads yet."""
        self.send(struct.pack(">IHHQQI", magic, flags, command, 7, offset, length) + data)

    def _answer(self, what: str, command: int, length: int) -> bool:
        """Note an answer, or a part of it; whether more follows."""
        (magic,) = struct.unpack(">I", self.take(4))
        if magic == 0x67446698:
            error, _ = struct.unpack(">IQ", self.take(12))
            data = self.take(length) if command == READ and not error else b""
            self.notes.append(f"{what}: error={error} {_short(data)}")
            return False
        flags, kind, _, size = struct.unpack(">HHQI", self.take(16))
        self.notes.append(f"{what}: chunk {kind:#x} flags={flags} {_short(self.take(size))}")
        return not flags & 1


def _short(data: bytes) -> str:
    return f"{len(data)} {data[:140]!r}"
