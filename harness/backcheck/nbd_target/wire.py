"""The NBD protocol's numbers, and the packing of what a server sends (doc/proto.md of the NBD project).

All integers are big-endian. Only what a server of fixed newstyle needs, with simple and structured replies.
"""

import struct
from collections.abc import Iterable
from enum import Enum, IntEnum, IntFlag

GREETING_MAGIC = 0x4E42444D41474943
OPTION_MAGIC = 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF

FIXED_NEWSTYLE = 1
NO_ZEROES = 2
LEGACY_PADDING = 124

CLIENT_FLAGS = struct.Struct(">I")
OPTION = struct.Struct(">QII")
REQUEST = struct.Struct(">IHHQQI")
EXTENT = struct.Struct(">II")

ALLOCATION_CONTEXT = "base:allocation"
ALLOCATION_ID = 1
STATE_HOLE = 1
STATE_ZERO = 2


class Option(IntEnum):
    """What a client asks for before it has an export."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class OptionReply(IntEnum):
    """How a server answers an option."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    UNSUPPORTED = 0x80000001
    INVALID = 0x80000003
    UNKNOWN = 0x80000006


class Info(IntEnum):
    """The kinds of OptionReply.INFO."""

    EXPORT = 0
    BLOCK_SIZE = 3


class Feature(IntFlag):
    """Transmission flags: what an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    FLUSH = 1 << 2
    FUA = 1 << 3
    TRIM = 1 << 5
    WRITE_ZEROES = 1 << 6
    DF = 1 << 7
    MULTI_CONN = 1 << 8
    FAST_ZERO = 1 << 11


class Kind(Enum):
    """What a request asks for; the values are the words of cases."""

    READ = "read"
    WRITE = "write"
    DISCONNECT = "disconnect"
    FLUSH = "flush"
    TRIM = "trim"
    WRITE_ZEROES = "write-zeroes"
    BLOCK_STATUS = "block-status"


KINDS = {
    0: Kind.READ,
    1: Kind.WRITE,
    2: Kind.DISCONNECT,
    3: Kind.FLUSH,
    4: Kind.TRIM,
    6: Kind.WRITE_ZEROES,
    7: Kind.BLOCK_STATUS,
}


class RequestFlag(IntFlag):
    """Flags of a request."""

    FUA = 1
    NO_HOLE = 2
    DF = 4
    REQ_ONE = 8
    FAST_ZERO = 16


class Chunk(IntEnum):
    """The kinds of parts that a structured reply has."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 0x8001


CHUNK_DONE = 1


def greeting() -> bytes:
    """What a server says first."""
    return struct.pack(">QQH", GREETING_MAGIC, OPTION_MAGIC, FIXED_NEWSTYLE | NO_ZEROES)


def option_reply(option: int, kind: OptionReply, payload: bytes = b"") -> bytes:
    """One answer to an option."""
    return struct.pack(">QIII", OPTION_REPLY_MAGIC, option, kind, len(payload)) + payload


def export_info(size: int, features: int) -> bytes:
    """The payload of Info.EXPORT."""
    return struct.pack(">HQH", Info.EXPORT, size, features)


def block_size_info(minimum: int, preferred: int, maximum: int) -> bytes:
    """The payload of Info.BLOCK_SIZE."""
    return struct.pack(">HIII", Info.BLOCK_SIZE, minimum, preferred, maximum)


def legacy_export(size: int, features: int, *, padded: bool) -> bytes:
    """The answer to Option.EXPORT_NAME."""
    return struct.pack(">QH", size, features) + bytes(LEGACY_PADDING if padded else 0)


def meta_context(context_id: int, name: str) -> bytes:
    """The payload of OptionReply.META_CONTEXT."""
    return struct.pack(">I", context_id) + name.encode()


def simple_reply(cookie: int, error: int, data: bytes = b"", *, magic: int = SIMPLE_REPLY_MAGIC) -> bytes:
    """A simple reply; data only after a read that went well."""
    return struct.pack(">IIQ", magic, error, cookie) + data


def chunk(cookie: int, kind: Chunk, payload: bytes = b"", *, done: bool = True) -> bytes:
    """A part of a structured reply."""
    header = struct.pack(">IHHQI", STRUCTURED_REPLY_MAGIC, CHUNK_DONE if done else 0, kind, cookie, len(payload))
    return header + payload


def data_chunk(cookie: int, offset: int, data: bytes, *, done: bool = True) -> bytes:
    """The data of a read."""
    return chunk(cookie, Chunk.OFFSET_DATA, struct.pack(">Q", offset) + data, done=done)


def hole_chunk(cookie: int, offset: int, length: int, *, done: bool) -> bytes:
    """A range of a read that is all zeroes."""
    return chunk(cookie, Chunk.OFFSET_HOLE, struct.pack(">QI", offset, length), done=done)


def error_chunk(cookie: int, error: int) -> bytes:
    """A structured reply that says only what went wrong."""
    return chunk(cookie, Chunk.ERROR, struct.pack(">IH", error, 0))


def status_chunk(cookie: int, extents: Iterable[tuple[int, int]]) -> bytes:
    """The answer to Kind.BLOCK_STATUS: length and state of each extent."""
    payload = b"".join(EXTENT.pack(length, state) for length, state in extents)
    return chunk(cookie, Chunk.BLOCK_STATUS, struct.pack(">I", ALLOCATION_ID) + payload)
