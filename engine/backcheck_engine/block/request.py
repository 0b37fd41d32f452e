"""The vocabulary of requests: flags, buffers, bounds, and the answer to a block status query."""

import enum
from typing import TYPE_CHECKING, NamedTuple

from backcheck_engine.block.quick_flag import quick_flag

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

Buffer = bytes | bytearray | memoryview
Range = tuple[int, int]
"""(offset, length), in bytes."""


class FilePiece(NamedTuple):
    """Bytes that lie in a file of the host, which a descriptor that somebody else keeps open reads."""

    descriptor: int
    offset: int
    length: int


SECTOR_SIZE = 512
MAX_REQUEST_BYTES = (2**31 - 1) // SECTOR_SIZE * SECTOR_SIZE
"""The longest read or write; zeroing and discarding may be longer."""
MAX_IMAGE_BYTES = (2**63 - 1) // 2**30 * 2**30
"""The largest image, as QEMU bounds it."""


@quick_flag
class RequestFlag(enum.Flag):
    """How a write is to be done. The values are those that QEMU's trace shows."""

    NONE = 0
    FUA = 0x10
    """On stable storage before the request ends."""
    MAY_UNMAP = 0x4
    """A zero write may deallocate."""
    NO_FALLBACK = 0x100
    """A zero write fails with ENOTSUP rather than writing buffers."""
    WRITE_UNCHANGED = 0x40
    """What is read afterwards is what was read before; needs only that permission."""
    SERIALISING = 0x80
    """Waits for every overlapping request, and they for it."""
    WRITE_COMPRESSED = 0x20
    """Store compressed, where the driver can."""


class BlockStatus(NamedTuple):
    """What a driver knows about a range; `length` bytes from the offset asked share it.

    A driver leaves `allocated` and `eof` alone: the node fills them in. A tuple, because a map of a large image makes
    very many of them; always made and read by names.
    """

    length: int
    """How many bytes share this status: above 0 unless the offset is at the end."""
    data: bool = False
    """Reading needs this layer's data."""
    zero: bool = False
    """Reads as zeroes."""
    allocated: bool = False
    """The content is decided by this layer, not by its backing."""
    compressed: bool = False
    eof: bool = False
    """The range ends where the image ends."""
    host_offset: int | None = None
    """Where the bytes lie, unchanged, in `file`."""
    file: "Node | None" = None
    delegated: bool = False
    """Driver only: `file` at `host_offset` knows the answer (a filter, the raw format)."""
    recurse: bool = False
    """Driver only: the data may lie in a hole of `file`, which is worth asking."""
