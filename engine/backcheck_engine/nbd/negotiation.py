"""The messages before an export is chosen, of both sides: greeting, options, replies to options. Bytes only, no I/O.

Each message has a function that packs it and one that unpacks it, and they are each other's inverse. What is unpacked
is the payload of exactly one message; a payload that is too short or too long raises WireError.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from backcheck_engine.nbd.constants import (
    INIT_MAGIC,
    MAX_STRING_BYTES,
    OPTION_MAGIC,
    OPTION_REPLY_MAGIC,
    HandshakeFlag,
    InfoType,
    TransmissionFlag,
)
from backcheck_engine.nbd.errors import TrailingBytes, WireError

_GREETING: Final = struct.Struct(">QQH")
_CLIENT_FLAGS: Final = struct.Struct(">I")
_OPTION: Final = struct.Struct(">QII")
_OPTION_REPLY: Final = struct.Struct(">QIII")
_EXPORT: Final = struct.Struct(">QH")
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_BLOCK_SIZE: Final = struct.Struct(">III")

GREETING_BYTES: Final = _GREETING.size
CLIENT_FLAGS_BYTES: Final = _CLIENT_FLAGS.size
OPTION_BYTES: Final = _OPTION.size
"""The head of an option; its payload follows."""
OPTION_REPLY_BYTES: Final = _OPTION_REPLY.size
"""The head of a reply to an option; its payload follows."""
EXPORT_BYTES: Final = _EXPORT.size
"""Size and flags, after which an EXPORT_NAME answer has PADDING unless both sides agreed on NO_ZEROES."""
PADDING: Final = bytes(124)


class Greeting(NamedTuple):
    """The first that a server says. `magic` and `style` are as they came: the client judges them."""

    magic: int
    style: int
    flags: int


class OptionHead(NamedTuple):
    """The start of an option; `length` bytes of payload follow."""

    magic: int
    code: int
    length: int


class ReplyHead(NamedTuple):
    """The start of a reply to option `code`; `length` bytes of payload follow."""

    magic: int
    code: int
    reply: int
    length: int


class ExportInfo(NamedTuple):
    """The size and the abilities of an export."""

    size: int
    flags: TransmissionFlag


class BlockSizes(NamedTuple):
    """What requests an export takes, in bytes."""

    minimum: int
    preferred: int
    maximum: int


class MetaContext(NamedTuple):
    """A meta context that a server has; `context_id` is 0 in answers to LIST_META_CONTEXT."""

    context_id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The payload of INFO and GO: which export, and what to tell of it."""

    name: str
    wanted: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaContextRequest:
    """The payload of LIST_META_CONTEXT and SET_META_CONTEXT; `queries` are names, or beginnings of names."""

    export: str
    queries: Sequence[str] = ()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes | memoryview) -> str:
    return bytes(data).decode("utf-8", "surrogateescape")


class _Payload:
    """Reads the parts of a payload one after the other."""

    __slots__ = ("_data", "_position", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._position = 0
        self._what = what

    def take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise WireError(f"{self._what} is too short")
        part = self._data[self._position : end]
        self._position = end
        return part

    def u16(self) -> int:
        return int(_U16.unpack(self.take(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def text(self) -> str:
        """A string behind its length."""
        length = self.u32()
        if length > MAX_STRING_BYTES:
            raise WireError(f"{self._what} has a name that is too long")
        return _decode(self.take(length))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)

    def end(self) -> None:
        if self._position != len(self._data):
            raise TrailingBytes(f"{self._what} is too long")


# The greeting.


def pack_greeting(flags: HandshakeFlag) -> bytes:
    """The server's first message."""
    return _GREETING.pack(INIT_MAGIC, OPTION_MAGIC, flags)


def unpack_greeting(data: bytes) -> Greeting:
    """The GREETING_BYTES of a server's first message."""
    return Greeting._make(_GREETING.unpack(data))


def pack_client_flags(flags: int) -> bytes:
    """The client's answer to the greeting."""
    return _CLIENT_FLAGS.pack(flags)


def unpack_client_flags(data: bytes) -> int:
    """The CLIENT_FLAGS_BYTES of a client's answer to the greeting."""
    return int(_CLIENT_FLAGS.unpack(data)[0])


# Options.


def pack_option(code: int, payload: bytes = b"") -> bytes:
    """A whole option."""
    return _OPTION.pack(OPTION_MAGIC, code, len(payload)) + payload


def unpack_option_head(data: bytes) -> OptionHead:
    """The OPTION_BYTES before an option's payload."""
    return OptionHead._make(_OPTION.unpack(data))


def pack_export_request(request: ExportRequest) -> bytes:
    """The payload of INFO or GO."""
    name = _encode(request.name)
    wanted = b"".join(map(_U16.pack, request.wanted))
    return _U32.pack(len(name)) + name + _U16.pack(len(request.wanted)) + wanted


def unpack_export_request(data: bytes) -> ExportRequest:
    """The payload of INFO or GO."""
    payload = _Payload(data, "export request")
    name = payload.text()
    wanted = [payload.u16() for _ in range(payload.u16())]
    payload.end()
    return ExportRequest(name=name, wanted=wanted)


def pack_meta_context_request(request: MetaContextRequest) -> bytes:
    """The payload of LIST_META_CONTEXT or SET_META_CONTEXT."""
    parts = [_encode(request.export), *map(_encode, request.queries)]
    packed = [_U32.pack(len(part)) + part for part in parts]
    return packed[0] + _U32.pack(len(request.queries)) + b"".join(packed[1:])


def unpack_meta_context_request(data: bytes) -> MetaContextRequest:
    """The payload of LIST_META_CONTEXT or SET_META_CONTEXT."""
    payload = _Payload(data, "meta context request")
    export = payload.text()
    queries = [payload.text() for _ in range(payload.u32())]
    payload.end()
    return MetaContextRequest(export=export, queries=queries)


def pack_name(name: str) -> bytes:
    """The payload of EXPORT_NAME, and of INFO replies of type NAME and DESCRIPTION behind their type."""
    return _encode(name)


def unpack_name(data: bytes) -> str:
    """The inverse of `pack_name`. Raises WireError when it is longer than a name may be."""
    if len(data) > MAX_STRING_BYTES:
        raise WireError("name is too long")
    return _decode(data)


# Replies to options.


def pack_option_reply(code: int, reply: int, payload: bytes = b"") -> bytes:
    """A whole reply to option `code`."""
    return _OPTION_REPLY.pack(OPTION_REPLY_MAGIC, code, reply, len(payload)) + payload


def unpack_option_reply_head(data: bytes) -> ReplyHead:
    """The OPTION_REPLY_BYTES before the payload of a reply."""
    return ReplyHead._make(_OPTION_REPLY.unpack(data))


def pack_export(export: ExportInfo) -> bytes:
    """Size and flags: the answer to EXPORT_NAME, and what follows the type in INFO replies of type EXPORT."""
    return _EXPORT.pack(export.size, export.flags)


def unpack_export(data: bytes) -> ExportInfo:
    """EXPORT_BYTES of size and flags."""
    if len(data) != EXPORT_BYTES:
        raise WireError("export information has a wrong length")
    size, flags = _EXPORT.unpack(data)
    return ExportInfo(size, TransmissionFlag(flags))


def pack_block_sizes(sizes: BlockSizes) -> bytes:
    """What follows the type in INFO replies of type BLOCK_SIZE."""
    return _BLOCK_SIZE.pack(*sizes)


def unpack_block_sizes(data: bytes) -> BlockSizes:
    """The inverse of `pack_block_sizes`."""
    if len(data) != _BLOCK_SIZE.size:
        raise WireError("block size information has a wrong length")
    return BlockSizes._make(_BLOCK_SIZE.unpack(data))


def pack_info(info_type: InfoType, content: bytes) -> bytes:
    """The payload of an INFO reply."""
    return _U16.pack(info_type) + content


def unpack_info(data: bytes) -> tuple[int, bytes]:
    """(type, content) of an INFO reply."""
    payload = _Payload(data, "information reply")
    return payload.u16(), payload.rest()


def pack_server(name: str, description: str = "") -> bytes:
    """The payload of a SERVER reply: one of the exports of a LIST."""
    encoded = _encode(name)
    return _U32.pack(len(encoded)) + encoded + _encode(description)


def unpack_server(data: bytes) -> tuple[str, str]:
    """(name, description) of a SERVER reply."""
    payload = _Payload(data, "export in a list")
    return payload.text(), _decode(payload.rest())


def pack_meta_context(context: MetaContext) -> bytes:
    """The payload of a META_CONTEXT reply."""
    return _U32.pack(context.context_id) + _encode(context.name)


def unpack_meta_context(data: bytes) -> MetaContext:
    """The payload of a META_CONTEXT reply."""
    payload = _Payload(data, "meta context reply")
    return MetaContext(payload.u32(), _decode(payload.rest()))
