"""The messages about an export, of both sides: requests, simple replies, chunks of structured replies. No I/O.

A payload of data is never part of what is packed or unpacked here: it follows its head on the wire, and goes to and
from buffers of its own, so that nobody copies it. Heads are tuples, since every request makes one.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from backcheck_engine.nbd.constants import (
    CHUNK_ERROR_BIT,
    REQUEST_MAGIC,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC,
    ChunkFlag,
    ChunkType,
)
from backcheck_engine.nbd.errors import WireError, to_errno, to_wire

_REQUEST: Final = struct.Struct(">IHHQQI")
_SIMPLE: Final = struct.Struct(">IIQ")
_CHUNK: Final = struct.Struct(">IHHQI")
_MAGIC: Final = struct.Struct(">I")
_OFFSET: Final = struct.Struct(">Q")
_HOLE: Final = struct.Struct(">QI")
_ERROR: Final = struct.Struct(">IH")
_EXTENT: Final = struct.Struct(">II")

REQUEST_BYTES: Final = _REQUEST.size
"""The head of a request; a WRITE's data follows."""
SIMPLE_REPLY_BYTES: Final = _SIMPLE.size
"""The head of a simple reply; a successful READ's data follows."""
CHUNK_BYTES: Final = _CHUNK.size
"""The head of a chunk; `length` bytes of payload follow."""
MAGIC_BYTES: Final = _MAGIC.size
"""How much of a reply tells which kind it is."""
OFFSET_BYTES: Final = _OFFSET.size
"""What an OFFSET_DATA chunk has before its data."""
HOLE_BYTES: Final = _HOLE.size
"""The payload of an OFFSET_HOLE chunk."""
EXTENT_BYTES: Final = _EXTENT.size
CONTEXT_BYTES: Final = _MAGIC.size
"""What a BLOCK_STATUS chunk has before its extents."""
ERROR_BYTES: Final = _ERROR.size
"""What an ERROR chunk has before its message."""


class Request(NamedTuple):
    """The head of a request. `cookie` is the client's name for it; `length` and `offset` are in bytes."""

    magic: int
    flags: int
    command: int
    cookie: int
    offset: int
    length: int


class SimpleReply(NamedTuple):
    """The head of a simple reply; `error` is 0 or a number of the wire."""

    magic: int
    error: int
    cookie: int


class Chunk(NamedTuple):
    """The head of a chunk of a structured reply."""

    magic: int
    flags: int
    kind: int
    cookie: int
    length: int

    @property
    def is_done(self) -> bool:
        """Whether the reply ends with this chunk."""
        return bool(self.flags & ChunkFlag.DONE)


class Extent(NamedTuple):
    """A run of bytes that share a status; what `flags` mean is the meta context's."""

    length: int
    flags: int


class ErrorDetail(NamedTuple):
    """What an error chunk says: an errno of this host, the server's words, and an offset where it has one."""

    errno: int
    message: str
    offset: int | None = None


# Requests.


def pack_request(command: int, cookie: int, offset: int, length: int, flags: int = 0) -> bytes:
    """The head of a request."""
    return _REQUEST.pack(REQUEST_MAGIC, flags, command, cookie, offset, length)


def unpack_request(data: bytes | bytearray | memoryview) -> Request:
    """The REQUEST_BYTES of a request. `magic` is as it came: the server judges it."""
    return Request._make(_REQUEST.unpack(data))


# Replies.


def reply_magic(data: bytes | bytearray | memoryview) -> int:
    """The MAGIC_BYTES that every reply starts with."""
    return int(_MAGIC.unpack(data)[0])


def pack_simple_reply(cookie: int, code: int = 0) -> bytes:
    """The head of a simple reply; `code` is an errno."""
    return _SIMPLE.pack(SIMPLE_REPLY_MAGIC, to_wire(code), cookie)


def unpack_simple_reply(data: bytes | bytearray | memoryview) -> SimpleReply:
    """The SIMPLE_REPLY_BYTES of a simple reply, whose magic was looked at already."""
    return SimpleReply._make(_SIMPLE.unpack(data))


def pack_chunk(kind: int, cookie: int, length: int, flags: int = 0) -> bytes:
    """The head of a chunk with `length` bytes of payload."""
    return _CHUNK.pack(STRUCTURED_REPLY_MAGIC, flags, kind, cookie, length)


def unpack_chunk(data: bytes | bytearray | memoryview) -> Chunk:
    """The CHUNK_BYTES of a chunk's head, whose magic was looked at already."""
    return Chunk._make(_CHUNK.unpack(data))


# Payloads of chunks.


def is_error(kind: int) -> bool:
    """Whether a chunk of that type reports an error."""
    return bool(kind & CHUNK_ERROR_BIT)


def pack_data_chunk(cookie: int, offset: int, length: int, flags: int = 0) -> bytes:
    """The head of a chunk of data with the offset; `length` bytes of data follow."""
    return pack_chunk(ChunkType.OFFSET_DATA, cookie, OFFSET_BYTES + length, flags) + _OFFSET.pack(offset)


def unpack_data_offset(data: bytes | bytearray | memoryview) -> int:
    """The OFFSET_BYTES before the data of an OFFSET_DATA chunk."""
    return int(_OFFSET.unpack(data)[0])


def pack_hole_chunk(cookie: int, offset: int, length: int, flags: int = 0) -> bytes:
    """A whole chunk that says that a range reads as zeroes."""
    return pack_chunk(ChunkType.OFFSET_HOLE, cookie, HOLE_BYTES, flags) + _HOLE.pack(offset, length)


def unpack_hole(data: bytes | bytearray | memoryview) -> tuple[int, int]:
    """(offset, length) of an OFFSET_HOLE chunk's payload."""
    if len(data) != HOLE_BYTES:
        raise WireError("hole chunk has a wrong length")
    offset, length = _HOLE.unpack(data)
    return offset, length


def pack_error_chunk(
    cookie: int, code: int, message: str = "", offset: int | None = None, *, done: bool = True
) -> bytes:
    """A whole chunk that says that a request failed; `code` is an errno, `offset` where it failed if known."""
    text = message.encode("utf-8", "surrogateescape")
    payload = _ERROR.pack(to_wire(code), len(text)) + text
    kind = ChunkType.ERROR
    if offset is not None:
        kind = ChunkType.ERROR_OFFSET
        payload += _OFFSET.pack(offset)
    return pack_chunk(kind, cookie, len(payload), ChunkFlag.DONE if done else ChunkFlag.NONE) + payload


def unpack_error(kind: int, data: bytes) -> ErrorDetail:
    """The payload of an error chunk of type `kind`; a type that is not known has at least a code and a message."""
    if len(data) < ERROR_BYTES:
        raise WireError("error chunk is too short")
    number, message_length = _ERROR.unpack(data[:ERROR_BYTES])
    rest = data[ERROR_BYTES + message_length :]
    if len(data) < ERROR_BYTES + message_length:
        raise WireError("error chunk's message has a wrong length")
    message = data[ERROR_BYTES : ERROR_BYTES + message_length].decode("utf-8", "replace")
    if kind == ChunkType.ERROR_OFFSET:
        if len(rest) != OFFSET_BYTES:
            raise WireError("error chunk's offset has a wrong length")
        return ErrorDetail(to_errno(number), message, _OFFSET.unpack(rest)[0])
    return ErrorDetail(to_errno(number), message)


def pack_status_chunk(cookie: int, context_id: int, extents: Iterable[Extent], flags: int = 0) -> bytes:
    """A whole chunk with the extents of one meta context."""
    payload = _MAGIC.pack(context_id) + b"".join(_EXTENT.pack(length, status) for length, status in extents)
    return pack_chunk(ChunkType.BLOCK_STATUS, cookie, len(payload), flags) + payload


def unpack_status(data: bytes) -> tuple[int, Sequence[Extent]]:
    """(context id, extents) of a BLOCK_STATUS chunk's payload."""
    if len(data) < CONTEXT_BYTES + EXTENT_BYTES or (len(data) - CONTEXT_BYTES) % EXTENT_BYTES:
        raise WireError("block status chunk has a wrong length")
    return reply_magic(data[:CONTEXT_BYTES]), [Extent._make(item) for item in _EXTENT.iter_unpack(data[CONTEXT_BYTES:])]
