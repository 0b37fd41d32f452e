"""The bitmap directory: its entries to and from bytes, and the bounds that QEMU sets to persistent bitmaps.

Nothing here does I/O. QEMU refuses the whole image for one entry that it does not understand, and so do we.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.drivers.format.qcow2.header import BITMAPS_FIELDS, BitmapsExtension
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject

MAX_BITMAPS: Final = 65535
MAX_NAME_BYTES: Final = 1023
MAX_DIRECTORY_BYTES: Final = MAX_BITMAPS * 1024
MAX_TABLE_ENTRIES: Final = 1 << 27
MAX_DATA_BYTES: Final = 512 << 20
"""What the clusters of one bitmap may take together."""
MIN_GRANULARITY_BITS: Final = 9
MAX_GRANULARITY_BITS: Final = 31

_EXTENSION_HEADER_BYTES: Final = 8
_FIELDS: Final = struct.Struct(">QIIBBHI")
_ZERO: Final = b"\xc0\x80"
"""How QEMU writes a zero character, since a zero byte ends a name."""
_DIRTY_TRACKING: Final = 1
"""The only type of bitmaps that there is."""


class BitmapFlag(enum.IntFlag):
    """What the directory says about a bitmap."""

    IN_USE = 1
    """Somebody has the image open for writing, or died doing so: what is stored is out of date."""
    AUTO = 2
    """The bitmap records."""


_KNOWN_FLAGS: Final = int(BitmapFlag.IN_USE | BitmapFlag.AUTO)
_FLAG_NAMES: Final = {BitmapFlag.IN_USE: "in-use", BitmapFlag.AUTO: "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """One bitmap as the directory describes it."""

    name: str
    flags: BitmapFlag
    granularity_bits: int
    table_offset: int
    """Host offset of the bitmap table."""
    table_entries: int

    @property
    def is_in_use(self) -> bool:
        """Whether what is stored is out of date."""
        return BitmapFlag.IN_USE in self.flags

    def info(self) -> JsonObject:
        """Qcow2BitmapInfo of QAPI."""
        return {
            "name": self.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "granularity": 1 << self.granularity_bits,
            "flags": [text for flag, text in _FLAG_NAMES.items() if flag in self.flags],
        }

    def pack(self) -> bytes:
        """The entry as it is stored."""
        name = name_bytes(self.name)
        fields = _FIELDS.pack(
            self.table_offset, self.table_entries, self.flags, _DIRTY_TRACKING, self.granularity_bits, len(name), 0
        )
        return (fields + name).ljust(entry_bytes(self.name), b"\0")


def name_bytes(name: str) -> bytes:
    """A name as images store it; one that is no UTF-8 keeps the bytes that it was read with."""
    return name.encode("utf-8", "surrogateescape").replace(b"\0", _ZERO)


def entry_bytes(name: str) -> int:
    """How long the entry of a bitmap of that name is."""
    return _padded(_FIELDS.size + len(name_bytes(name)))


def pack_directory(entries: Iterable[DirectoryEntry]) -> bytes:
    """The directory with these entries."""
    return b"".join(entry.pack() for entry in entries)


def parse_directory(data: bytes, count: int, *, cluster_size: int, disk_size: int) -> list[DirectoryEntry]:
    """The `count` entries of a directory. Raises BlockError in QEMU's words for one that is wrong in any way."""
    entries: list[DirectoryEntry] = []
    at = 0
    while at < len(data):
        if at + _FIELDS.size > len(data):
            raise BlockError("Broken bitmap directory", errno.EINVAL)
        if len(entries) == count:
            raise BlockError("More bitmaps found than specified in header extension", errno.EINVAL)
        fields = _FIELDS.unpack_from(data, at)
        name_length, extra_length = fields[5:]
        length = _padded(_FIELDS.size + extra_length + name_length)
        # QEMU counts in 32 bits with a sign: to it, an entry with very much extra data ends before it begins.
        if at + ((length + (1 << 31)) % (1 << 32) - (1 << 31)) > len(data):
            raise BlockError("Broken bitmap directory", errno.EINVAL)
        if extra_length:
            raise BlockError("Bitmap extra data is not supported", errno.EINVAL)
        name_at = at + _FIELDS.size
        entries.append(_entry(fields, bytes(data[name_at : name_at + name_length]), cluster_size, disk_size))
        at += length
    if len(entries) < count:
        raise BlockError("Less bitmaps found than specified in header extension", errno.EINVAL)
    return entries


def _entry(fields: tuple[int, ...], raw_name: bytes, cluster_size: int, disk_size: int) -> DirectoryEntry:
    """The entry that the unpacked `fields` describe. Raises BlockError where one is out of bounds."""
    table_offset, table_entries, flags, kind, granularity_bits, name_length, _ = fields
    data_bytes = table_entries * cluster_size
    is_sound = (
        table_offset
        and table_offset % cluster_size == 0
        and 0 < table_entries <= MAX_TABLE_ENTRIES
        and data_bytes <= MAX_DATA_BYTES
        and MIN_GRANULARITY_BITS <= granularity_bits <= MAX_GRANULARITY_BITS
        and not flags & ~_KNOWN_FLAGS
        and 0 < name_length <= MAX_NAME_BYTES
        and kind == _DIRTY_TRACKING
        and (flags & BitmapFlag.IN_USE or disk_size <= data_bytes * 8 << granularity_bits)
    )
    # QEMU's names end at a zero byte, whatever their length says.
    name = raw_name.split(b"\0")[0].replace(_ZERO, b"\0").decode("utf-8", "surrogateescape")
    if not is_sound:
        raise BlockError(f"Bitmap '{name}' doesn't satisfy the constraints", errno.EINVAL)
    return DirectoryEntry(
        name=name,
        flags=BitmapFlag(flags),
        granularity_bits=granularity_bits,
        table_offset=table_offset,
        table_entries=table_entries,
    )


def parse_extension(data: bytes, cluster_size: int) -> BitmapsExtension:
    """The header extension that says where the directory is. Raises BlockError in QEMU's words."""
    check_extension_length(data)
    count, reserved, size, offset = BITMAPS_FIELDS.unpack(data)
    if reserved:
        raise _bad_extension("Reserved field is not zero", BITMAPS_FIELDS.size)
    if count > MAX_BITMAPS:
        raise BlockError(
            f"bitmaps_ext: Image has {count} bitmaps, exceeding the QEMU supported maximum of {MAX_BITMAPS}",
            errno.EINVAL,
        )
    if count == 0:
        raise BlockError("found bitmaps extension with zero bitmaps", errno.EINVAL)
    if offset % cluster_size:
        raise BlockError("bitmaps_ext: invalid bitmap directory offset", errno.EINVAL)
    if size > MAX_DIRECTORY_BYTES:
        raise BlockError(
            f"bitmaps_ext: bitmap directory size ({size}) exceeds the maximum supported size ({MAX_DIRECTORY_BYTES})",
            errno.EINVAL,
        )
    return BitmapsExtension(count=count, directory_size=size, directory_offset=offset)


def check_extension_length(data: bytes) -> None:
    """Raise BlockError, in QEMU's words, unless the header extension has the length that it has to have."""
    if len(data) != BITMAPS_FIELDS.size:
        raise _bad_extension("Invalid extension length", _EXTENSION_HEADER_BYTES)


def _bad_extension(text: str, last_read: int) -> BlockError:
    """Before 6.0 QEMU took the length of what it had read last for an error."""
    tail = f": Unknown error -{last_read}" if release.current() < release.QEMU_7_2 else ""
    return BlockError(f"bitmaps_ext: {text}{tail}", errno.EINVAL)


def check_constraints(name: str, granularity: int, *, cluster_size: int, disk_size: int) -> None:
    """Raise BlockError, in QEMU's words, unless a bitmap like that can be stored in an image like that."""
    if len(name_bytes(name)) > MAX_NAME_BYTES:
        raise BlockError(f"Name length exceeds maximum ({MAX_NAME_BYTES} characters)", errno.EINVAL)
    if granularity < 1 << MIN_GRANULARITY_BITS:
        raise BlockError(f"Granularity is under minimum ({1 << MIN_GRANULARITY_BITS} bytes)", errno.EINVAL)
    if granularity > 1 << MAX_GRANULARITY_BITS:
        raise BlockError(f"Granularity exceeds maximum ({1 << MAX_GRANULARITY_BITS} bytes)", errno.EINVAL)
    if data_bytes(disk_size, granularity) > min(MAX_DATA_BYTES, MAX_TABLE_ENTRIES * cluster_size):
        raise BlockError("Too much space will be occupied by the bitmap. Use larger granularity", errno.EINVAL)


def data_bytes(disk_size: int, granularity: int) -> int:
    """How many bytes the bits of a bitmap take."""
    bits = -(-disk_size // granularity)
    return -(-bits // 8)


def _padded(length: int) -> int:
    return (length + 7) & ~7
