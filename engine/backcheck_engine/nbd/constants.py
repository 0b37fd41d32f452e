"""The numbers of the NBD protocol: magics, flags, options, replies, commands. No code but their names.

The source of all of them is the protocol's specification (doc/proto.md of the `nbd` project), as nbdkit-protocol(1) and
libnbd(3) describe it.
"""

import enum
from typing import Final

NBD_PORT: Final = 10809
"""The port of a server that nobody gave one."""

INIT_MAGIC: Final = int.from_bytes(b"NBDMAGIC", "big")
OPTION_MAGIC: Final = int.from_bytes(b"IHAVEOPT", "big")
OLDSTYLE_MAGIC: Final = 0x00420281861253
OPTION_REPLY_MAGIC: Final = 0x0003E889045565A9
REQUEST_MAGIC: Final = 0x25609513
SIMPLE_REPLY_MAGIC: Final = 0x67446698
STRUCTURED_REPLY_MAGIC: Final = 0x668E33EF

MAX_STRING_BYTES: Final = 4096
"""The longest export name, description or meta context name."""
MAX_BUFFER_BYTES: Final = 32 * 2**20
"""The longest payload that a peer has to take when nobody said otherwise."""
MAX_OPTION_BYTES: Final = MAX_BUFFER_BYTES
"""The longest payload of an option or of a reply to one."""

BASE_ALLOCATION: Final = "base:allocation"
QEMU_ALLOCATION_DEPTH: Final = "qemu:allocation-depth"
QEMU_DIRTY_BITMAP: Final = "qemu:dirty-bitmap:"


class HandshakeFlag(enum.IntFlag):
    """What the server says first."""

    FIXED_NEWSTYLE = 1 << 0
    NO_ZEROES = 1 << 1
    """The server can leave out the 124 zeroes after its answer to EXPORT_NAME."""


class ClientFlag(enum.IntFlag):
    """What the client answers."""

    FIXED_NEWSTYLE = 1 << 0
    NO_ZEROES = 1 << 1


class TransmissionFlag(enum.IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    ROTATIONAL = 1 << 4
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_RESIZE = 1 << 9
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11


class OptionCode(enum.IntEnum):
    """What a client asks for before it chooses an export."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    PEEK_EXPORT = 4
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10
    EXTENDED_HEADERS = 11


ERROR_BIT: Final = 1 << 31
"""Set in replies to options that refuse."""


class OptionReply(enum.IntEnum):
    """What a server answers to an option."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = ERROR_BIT | 1
    ERR_POLICY = ERROR_BIT | 2
    ERR_INVALID = ERROR_BIT | 3
    ERR_PLATFORM = ERROR_BIT | 4
    ERR_TLS_REQD = ERROR_BIT | 5
    ERR_UNKNOWN = ERROR_BIT | 6
    ERR_SHUTDOWN = ERROR_BIT | 7
    ERR_BLOCK_SIZE_REQD = ERROR_BIT | 8
    ERR_TOO_BIG = ERROR_BIT | 9
    ERR_EXT_HEADER_REQD = ERROR_BIT | 10


class InfoType(enum.IntEnum):
    """What a server tells of an export."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Command(enum.IntEnum):
    """What a client asks of an export."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7
    RESIZE = 8


class CommandFlag(enum.IntFlag):
    """How a command is to be done."""

    NONE = 0
    FUA = 1 << 0
    """On stable storage before the reply."""
    NO_HOLE = 1 << 1
    """Zeroes, but with storage behind them."""
    DF = 1 << 2
    """A read's answer in one chunk."""
    REQ_ONE = 1 << 3
    """One extent is enough."""
    FAST_ZERO = 1 << 4
    """Fail rather than write buffers of zeroes."""


class ChunkFlag(enum.IntFlag):
    """About one chunk of a structured reply."""

    NONE = 0
    DONE = 1 << 0
    """The last of its reply."""


class ChunkType(enum.IntEnum):
    """What a chunk of a structured reply carries."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 1 << 15 | 1
    ERROR_OFFSET = 1 << 15 | 2


CHUNK_ERROR_BIT: Final = 1 << 15
"""Set in the type of every chunk that reports an error."""


class AllocationState(enum.IntFlag):
    """What an extent of base:allocation is."""

    DATA = 0
    HOLE = 1 << 0
    ZERO = 1 << 1


DIRTY: Final = 1
"""The flag of a dirty extent of qemu:dirty-bitmap."""


class AllocationDepth(enum.IntEnum):
    """What an extent of qemu:allocation-depth starts from; deeper layers count on from LOCAL."""

    UNALLOCATED = 0
    LOCAL = 1
