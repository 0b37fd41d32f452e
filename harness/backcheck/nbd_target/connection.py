"""One NBD connection as a server sees it, without a socket: bytes in, bytes and requests out.

The conversation is a generator that yields how many bytes it needs next, so that its order can be read from top to
bottom: greeting, options until the client has an export, then requests.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass

from backcheck.nbd_target import wire
from backcheck.nbd_target.wire import Feature, Kind, Option, OptionReply, RequestFlag

EVERYTHING = (
    Feature.FLUSH
    | Feature.FUA
    | Feature.TRIM
    | Feature.WRITE_ZEROES
    | Feature.DF
    | Feature.MULTI_CONN
    | Feature.FAST_ZERO
)
MOST_OPTION_BYTES = 1 << 16


class ProtocolError(Exception):
    """The client broke the protocol; the connection is of no more use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is offered. block_sizes: minimum, preferred and maximum in bytes, or None to say nothing of them.

    structured: structured replies are offered, and base:allocation with them.
    """

    name: str
    size: int
    features: Feature = EVERYTHING
    structured: bool = True
    block_sizes: tuple[int, int, int] | None = (1, 4096, 1 << 25)

    @property
    def flags(self) -> int:
        """The transmission flags."""
        return int(self.features | Feature.HAS_FLAGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came."""

    kind: Kind
    cookie: int
    offset: int
    length: int
    flags: RequestFlag
    data: bytes = b""


Conversation = Generator[int, bytes, None]


class Connection:
    """The state of one connection. `outgoing` is what there is to send."""

    def __init__(self, export: Export) -> None:
        self.export = export
        self.structured = False
        self.allocation = False
        self.outgoing = bytearray(wire.greeting())
        self.requests: list[Received] = []
        self.closed = False
        """The client has said that it goes, or has done what no client may."""
        self._incoming = bytearray()
        self._conversation = self._converse()
        self._needed = next(self._conversation)

    def receive(self, data: bytes) -> list[Received]:
        """Takes bytes from the client; the requests that are complete with them. Raises ProtocolError."""
        self._incoming += data
        while not self.closed and len(self._incoming) >= self._needed:
            part = bytes(self._incoming[: self._needed])
            del self._incoming[: self._needed]
            try:
                self._needed = self._conversation.send(part)
            except StopIteration:
                self.closed = True
        requests, self.requests = self.requests, []
        return requests

    def _converse(self) -> Conversation:
        (flags,) = wire.CLIENT_FLAGS.unpack((yield wire.CLIENT_FLAGS.size))
        while True:
            magic, option, length = wire.OPTION.unpack((yield wire.OPTION.size))
            if magic != wire.OPTION_MAGIC or length > MOST_OPTION_BYTES:
                raise ProtocolError(f"an option with magic {magic:#x} and {length} bytes")
            payload = (yield length) if length else b""
            if option == Option.EXPORT_NAME:
                if payload.decode() != self.export.name:
                    return
                self.outgoing += wire.legacy_export(
                    self.export.size, self.export.flags, padded=not flags & wire.NO_ZEROES
                )
                break
            self._answer(option, payload)
            if option == Option.ABORT:
                return
            if option == Option.GO and self._chosen(payload):
                break
        yield from self._transmission()

    def _transmission(self) -> Conversation:
        while True:
            magic, flags, number, cookie, offset, length = wire.REQUEST.unpack((yield wire.REQUEST.size))
            if magic != wire.REQUEST_MAGIC or number not in wire.KINDS:
                raise ProtocolError(f"a request with magic {magic:#x} and type {number}")
            kind = wire.KINDS[number]
            if kind is Kind.DISCONNECT:
                return
            data = (yield length) if kind is Kind.WRITE and length else b""
            self.requests.append(
                Received(kind=kind, cookie=cookie, offset=offset, length=length, flags=RequestFlag(flags), data=data)
            )

    def _reply(self, option: int, kind: OptionReply, payload: bytes = b"") -> None:
        self.outgoing += wire.option_reply(option, kind, payload)

    def _answer(self, option: int, payload: bytes) -> None:
        """Answers every option but EXPORT_NAME."""
        match option:
            case Option.GO | Option.INFO:
                self._describe(option, payload)
            case Option.LIST:
                name = self.export.name.encode()
                self._reply(option, OptionReply.SERVER, struct.pack(">I", len(name)) + name)
                self._reply(option, OptionReply.ACK)
            case Option.STRUCTURED_REPLY if self.export.structured:
                self.structured = True
                self._reply(option, OptionReply.ACK)
            case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT if self.structured:
                self._contexts(option, payload)
            case Option.ABORT:
                self._reply(option, OptionReply.ACK)
            case _:
                self._reply(option, OptionReply.UNSUPPORTED)

    def _describe(self, option: int, payload: bytes) -> None:
        if not self._chosen(payload):
            self._reply(option, OptionReply.UNKNOWN)
            return
        self._reply(option, OptionReply.INFO, wire.export_info(self.export.size, self.export.flags))
        if self.export.block_sizes is not None:
            self._reply(option, OptionReply.INFO, wire.block_size_info(*self.export.block_sizes))
        self._reply(option, OptionReply.ACK)

    def _chosen(self, payload: bytes) -> bool:
        """Whether the name in GO, INFO or a context option is that of the export."""
        return _name(payload)[0] == self.export.name

    def _contexts(self, option: int, payload: bytes) -> None:
        name, rest = _name(payload)
        if name != self.export.name:
            self._reply(option, OptionReply.UNKNOWN)
            return
        queries = list(_texts(rest))
        wanted = wire.ALLOCATION_CONTEXT in queries
        listed = option == Option.LIST_META_CONTEXT and (not queries or "base:" in queries)
        if wanted or listed:
            chosen = wire.ALLOCATION_ID if option == Option.SET_META_CONTEXT else 0
            self._reply(option, OptionReply.META_CONTEXT, wire.meta_context(chosen, wire.ALLOCATION_CONTEXT))
        if option == Option.SET_META_CONTEXT:
            self.allocation = wanted
        self._reply(option, OptionReply.ACK)


def _name(payload: bytes) -> tuple[str, bytes]:
    """The name at the beginning of an option's payload, and what is behind it."""
    if len(payload) < 4:
        raise ProtocolError("an option without a name")
    (length,) = struct.unpack_from(">I", payload)
    return payload[4 : 4 + length].decode(), payload[4 + length :]


def _texts(payload: bytes) -> Generator[str, None, None]:
    """The queries of a context option."""
    (count,) = struct.unpack_from(">I", payload)
    payload = payload[4:]
    for _ in range(count):
        text, payload = _name(payload)
        yield text
