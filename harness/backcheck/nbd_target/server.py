"""The server: a unix socket, its connections, requests that are written down, carried out and answered.

It lives in the harness's loop, so that what reaches it has a place in the one order of everything; all of its methods
are called there.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from backcheck.nbd_target import wire
from backcheck.nbd_target.connection import Connection, Export, ProtocolError, Received
from backcheck.nbd_target.orders import LIES, Action, Lie, Order
from backcheck.nbd_target.storage import Storage
from backcheck.nbd_target.wire import Chunk, Feature, Kind, RequestFlag

CHANGING = frozenset({Kind.WRITE, Kind.WRITE_ZEROES, Kind.TRIM})
MOST_WAITING = 64


@dataclass(slots=True, kw_only=True)
class Recorded:
    """A request that has arrived, and what became of it.

    arrived, answered: places in the order of everything that was recorded; answered is None until it is. error: the
    errno of the answer, 0 for success, None until it is answered. pattern: the byte of which all data of a write is,
    or None; digest: the first 16 digits of its SHA-256. connection: 0 for the first that the server had.
    """

    number: int
    kind: Kind
    offset: int
    length: int
    flags: RequestFlag
    connection: int
    arrived: int
    pattern: int | None = None
    digest: str | None = None
    answered: int | None = None
    error: int | None = None

    @property
    def fua(self) -> bool:
        """Whether it must be on the disk before it is answered."""
        return bool(self.flags & RequestFlag.FUA)

    @property
    def done(self) -> bool:
        """Whether it was carried out and the client told so."""
        return self.error == 0

    def __str__(self) -> str:
        words = [self.kind.value]
        if self.pattern is not None:
            words.append(f"{self.pattern:#04x}")
        if self.kind is not Kind.FLUSH:
            words.append(f"offset={self.offset} length={self.length}")
        words += [flag.name.lower() for flag in RequestFlag if flag in self.flags and flag.name]
        return " ".join(words)


class Server:
    """An NBD server of one export. `note` writes down a line and returns its place in the order of everything."""

    def __init__(self, path: Path, export: Export, note: Callable[[str], int]) -> None:
        self.path = path
        self.export = export
        self.storage = Storage(export.size)
        self.requests: list[Recorded] = []
        self.orders: list[Order] = []
        self.refused: list[str] = []
        """What broke the protocol, in words."""
        self.turned_away = 0
        """How many clients have been turned away."""
        self._closed = False
        self._note = note
        self._listener: asyncio.Server | None = None
        self._clients: list[_Client] = []
        self._connections = 0
        self._waiting: dict[int, tuple[_Client, Received]] = {}

    async def listen(self) -> None:
        """Serves who connects to its path from now on."""
        self._closed = False
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # By way of the folder's descriptor, since a socket's path has at most 107 bytes.
            listener.bind(f"/proc/self/fd/{folder}/{self.path.name}")
        finally:
            os.close(folder)
        listener.listen(MOST_WAITING)
        self._listener = await asyncio.get_running_loop().create_server(self._new_client, sock=listener)

    def leave(self) -> None:
        """Ends all connections, and accepts none until it listens again."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)
        self.disconnect()

    def turn_away(self) -> None:
        """Ends all connections; who connects again is turned away at once, until it listens again."""
        self._closed = True
        self.disconnect()

    def disconnect(self) -> None:
        """Ends all connections."""
        for client in self._clients:
            client.abort()
        self._clients.clear()

    @property
    def connected(self) -> int:
        """How many connections there are now."""
        return len(self._clients)

    @property
    def held(self) -> list[int]:
        """Numbers of the requests that are held and whose connection is still there."""
        return [number for number, (client, _) in self._waiting.items() if client in self._clients]

    def release(self, order: Order, error: int = 0) -> None:
        """Carries out and answers what an order holds, or answers it with an error; it holds nothing any more."""
        if order in self.orders:
            self.orders.remove(order)
        for number in order.taken:
            if number not in self._waiting:
                continue
            client, received = self._waiting.pop(number)
            if client in self._clients:
                self._answer(client, received, self.requests[number], error)

    def gone(self, client: "_Client") -> None:
        """A connection has ended."""
        if client in self._clients:
            self._clients.remove(client)

    def note_turned_away(self) -> None:
        """A client has come in vain."""
        self.turned_away += 1
        self._note(f"{self.export.name} turns a client away")

    def arrived(self, client: "_Client", received: Received) -> None:
        """Writes a request down, and does with it as told."""
        record = self._record(client, received)
        order = next(
            (order for order in self.orders if order.takes(received.kind, received.offset, received.length)), None
        )
        if order is not None:
            order.taken.append(record.number)
        match order.action if order else None:
            case Action.HOLD:
                self._waiting[record.number] = client, received
            case Action.DISCONNECT:
                self.turn_away()
            case Action.FAIL:
                assert order is not None
                self._answer(client, received, record, order.errno)
            case Action.LIE:
                assert order is not None
                self._answer(client, received, record, 0, order.lie)
            case _:
                self._answer(client, received, record, 0)

    def _new_client(self) -> asyncio.Protocol:
        if self._closed:
            return _TurnedAway(self)
        client = _Client(self, self._connections)
        self._connections += 1
        self._clients.append(client)
        return client

    def _record(self, client: "_Client", received: Received) -> Recorded:
        record = Recorded(
            number=len(self.requests),
            kind=received.kind,
            offset=received.offset,
            length=received.length,
            flags=received.flags,
            connection=client.number,
            arrived=0,
        )
        if received.data:
            record.digest = sha256(received.data).hexdigest()[:16]
            if received.data.count(received.data[0]) == len(received.data):
                record.pattern = received.data[0]
        record.arrived = self._note(f"{self.export.name} #{record.number} {record}")
        self.requests.append(record)
        return record

    def _answer(
        self, client: "_Client", received: Received, record: Recorded, error: int, lie: Lie | None = None
    ) -> None:
        connection = client.connection
        error = error or self._problem(received)
        if error:
            structured = connection.structured and received.kind in (Kind.READ, Kind.BLOCK_STATUS)
            reply = (wire.error_chunk if structured else wire.simple_reply)(received.cookie, error)
        else:
            reply = self._carry_out(connection, received)
        # Written down before it is sent, so that nothing that follows from it can be before it.
        record.answered = self._note(
            f"{self.export.name} #{record.number} -> {errno.errorcode.get(error, error) if error else lie or 'ok'}"
        )
        record.error = error
        client.send(LIES[lie](reply) if lie else reply)
        if lie is Lie.SHORT:
            client.close()

    def _problem(self, received: Received) -> int:
        """The errno for a request that the export does not allow, or 0."""
        kind, length = received.kind, received.length
        if kind in CHANGING and Feature.READ_ONLY in self.export.features:
            return errno.EPERM
        if received.offset + length > self.export.size:
            return errno.ENOSPC if kind in CHANGING else errno.EINVAL
        if self.export.block_sizes is not None:
            minimum, _, maximum = self.export.block_sizes
            too_long = kind in (Kind.READ, Kind.WRITE) and length > maximum
            if too_long or received.offset % minimum or length % minimum:
                return errno.EINVAL
        return 0

    def _carry_out(self, connection: Connection, received: Received) -> bytes:
        cookie, offset, length = received.cookie, received.offset, received.length
        match received.kind:
            case Kind.READ:
                return self._read(connection, received)
            case Kind.BLOCK_STATUS:
                extents = list(self.storage.extents(offset, length))
                if RequestFlag.REQ_ONE in received.flags:
                    extents = extents[:1]
                return wire.status_chunk(cookie, extents)
            case Kind.WRITE:
                self.storage.write(offset, received.data)
            case Kind.WRITE_ZEROES:
                self.storage.zero(offset, length, hole=RequestFlag.NO_HOLE not in received.flags)
            case Kind.TRIM:
                self.storage.zero(offset, length, hole=True)
        return wire.simple_reply(cookie, 0)

    def _read(self, connection: Connection, received: Received) -> bytes:
        cookie, offset, length = received.cookie, received.offset, received.length
        if not connection.structured:
            return wire.simple_reply(cookie, 0, self.storage.read(offset, length))
        if RequestFlag.DF in received.flags:
            return wire.data_chunk(cookie, offset, self.storage.read(offset, length))
        parts = []
        for count, state in self.storage.extents(offset, length):
            if state & wire.STATE_ZERO:
                parts.append(wire.hole_chunk(cookie, offset, count, done=False))
            else:
                parts.append(wire.data_chunk(cookie, offset, self.storage.read(offset, count), done=False))
            offset += count
        return b"".join([*parts, wire.chunk(cookie, Chunk.NONE)])


class _TurnedAway(asyncio.Protocol):
    """A connection that ends as soon as it is there."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
        self._server.note_turned_away()


class _Client(asyncio.Protocol):
    """One connection's socket."""

    def __init__(self, server: Server, number: int) -> None:
        self.number = number
        self.connection = Connection(server.export)
        self._server = server
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            requests = self.connection.receive(data)
        except (ProtocolError, ValueError, struct.error) as error:
            self._server.refused.append(str(error))
            self.abort()
            return
        self._flush()
        for received in requests:
            self._server.arrived(self, received)
        if self.connection.closed:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.gone(self)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self.connection.outgoing:
            self.send(bytes(self.connection.outgoing))
            self.connection.outgoing.clear()
