"""Headers of sparse extents: hosted ones ("KDMV"), those of old ESX hosts ("COWD"), and the footer. No I/O.

A hosted extent, as it is made here and by QEMU:

    header      512 bytes
    descriptor  10 KiB of text, when the image is this one file
    directory   one 32-bit sector number for each grain table, with the tables right behind: the redundant copy first,
                then those that count
    grains      64 KiB each, in the order in which they were first written
"""

from __future__ import annotations

import enum
import errno
import struct
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.errors import BlockError

HOSTED_MAGIC: Final = b"KDMV"
ESX_MAGIC: Final = b"COWD"
DESCRIPTOR_OFFSET: Final = SECTOR_SIZE
"""Where the descriptor of an image in one file begins."""
DESCRIPTOR_AREA: Final = 20 * SECTOR_SIZE
ENTRY_SIZE: Final = 4
"""Of directories and tables alike."""
MAX_TABLE_ENTRIES: Final = 512
MAX_DIRECTORY_ENTRIES: Final = 32 * 1024 * 1024
MAX_GRAIN_SIZE: Final = 1024 * 1024 * 1024
MAX_PACKED_GRAIN_SIZE: Final = 2 * 1024 * 1024
"""Compressed grains are in memory as a whole, several at once; no program makes them larger than 64 KiB."""
FOOTER_LENGTH: Final = 3 * SECTOR_SIZE

_ENTRY_CODE: Final = "I"
_HOSTED: Final = struct.Struct("<4sIIQQQQIQQQB4sH")
_ESX: Final = struct.Struct("<4sIIIIIII")
_MARKER: Final = struct.Struct("<QII")
_ESX_TABLE_ENTRIES: Final = 4096
_NEW_GRAIN_SIZE: Final = 64 * 1024
_AT_END: Final = (2**64 - 1) * SECTOR_SIZE
_LINE_ENDS: Final = b"\n \r\n"
"""Shows a transfer that took the file for text."""
_DEFLATE: Final = 1
_FOOTER_MARKER: Final = 3
_NEWEST_VERSION: Final = 3


class HeaderFlag(enum.IntFlag, boundary=enum.KEEP):
    """What a hosted extent has."""

    LINE_ENDS = 1 << 0
    REDUNDANT_DIRECTORY = 1 << 1
    ZEROED_GRAINS = 1 << 2
    """Table entry 1 stands for a grain of zeroes."""
    COMPRESSED = 1 << 16
    MARKERS = 1 << 17
    """Each grain is preceded by its guest sector and its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseHeader:
    """A sparse extent, by its header. Offsets and sizes in bytes, where the file has sectors."""

    version: int = 1
    flags: HeaderFlag
    capacity: int
    grain_size: int
    table_entries: int = MAX_TABLE_ENTRIES
    table_coverage: int
    """How much of the disk one grain table describes."""
    directory_offset: int
    directory_entries: int
    redundant_directory_offset: int | None = None
    data_offset: int = 0
    """Where grains may begin: a file that ends before was cut off."""
    descriptor_offset: int = 0
    is_compressed: bool = False
    is_hosted: bool = True

    @property
    def directory_is_at_end(self) -> bool:
        """Whether a footer tells where the directory is."""
        return self.directory_offset == _AT_END

    @property
    def table_size(self) -> int:
        """Bytes of one grain table."""
        return self.table_entries * ENTRY_SIZE

    def verify(self, *, file_size: int, writable: bool) -> None:
        """Refuse what QEMU refuses, in its order and its words. Raises BlockError."""
        if self.version > _NEWEST_VERSION:
            raise BlockError(f"Unsupported VMDK version {self.version}", errno.ENOTSUP)
        cut = f"File truncated, expecting at least {self.data_offset} bytes"
        objections = (
            (
                self.version == _NEWEST_VERSION and writable and not self.is_compressed,
                "VMDK version 3 must be read only",
            ),
            (self.table_entries > MAX_TABLE_ENTRIES, "L2 table size too big"),
            (self.table_coverage == 0, "L1 entry size is invalid"),
            (file_size < self.data_offset, cut),
        )
        for is_wrong, message in objections:
            if is_wrong:
                raise BlockError(message, errno.EINVAL)
        self.verify_sizes()

    def verify_sizes(self) -> None:
        """Refuse grains and directories too large to be true. Raises BlockError in QEMU's words."""
        largest = MAX_PACKED_GRAIN_SIZE if self.is_compressed else MAX_GRAIN_SIZE
        if not 0 < self.grain_size <= largest:
            raise BlockError("Invalid granularity, image may be corrupt", errno.EFBIG)
        if self.directory_entries > MAX_DIRECTORY_ENTRIES:
            raise BlockError("L1 size too big", errno.EFBIG)


def parse_hosted(data: bytes) -> SparseHeader:
    """The header at the front of `data`, which is 512 bytes long or more; nothing of it is verified."""
    _, version, flags, capacity, grain, descriptor, _, entries, redundant, directory, overhead, _, _, compression = (
        _HOSTED.unpack_from(data)
    )
    coverage = entries * grain & 0xFFFFFFFF  # as the 32-bit number that QEMU takes it for
    kinds = HeaderFlag(flags)
    return SparseHeader(
        version=version,
        flags=kinds,
        capacity=capacity * SECTOR_SIZE,
        grain_size=grain * SECTOR_SIZE,
        table_entries=entries,
        table_coverage=coverage * SECTOR_SIZE,
        directory_offset=directory * SECTOR_SIZE,
        directory_entries=-(-capacity // coverage) if coverage else 0,
        redundant_directory_offset=redundant * SECTOR_SIZE if HeaderFlag.REDUNDANT_DIRECTORY in kinds else None,
        data_offset=overhead * SECTOR_SIZE,
        descriptor_offset=descriptor * SECTOR_SIZE,
        is_compressed=compression == _DEFLATE,
    )


def parse_esx(data: bytes) -> SparseHeader:
    """The header of an extent of an old ESX host, whose tables are of 4096 entries and have no copies."""
    _, _, _, sectors, grain, directory, entries, _ = _ESX.unpack_from(data)
    return SparseHeader(
        flags=HeaderFlag(0),
        capacity=sectors * SECTOR_SIZE,
        grain_size=grain * SECTOR_SIZE,
        table_entries=_ESX_TABLE_ENTRIES,
        table_coverage=grain * SECTOR_SIZE * _ESX_TABLE_ENTRIES,
        directory_offset=directory * SECTOR_SIZE,
        directory_entries=entries,
        is_hosted=False,
    )


def parse_footer(data: bytes) -> SparseHeader:
    """The header that the last three sectors of a file hold. Raises BlockError in QEMU's words."""
    _, size, kind = _MARKER.unpack_from(data)
    end = _MARKER.unpack_from(data, 2 * SECTOR_SIZE)
    header = data[SECTOR_SIZE : 2 * SECTOR_SIZE]
    if (size, kind) != (0, _FOOTER_MARKER) or not header.startswith(HOSTED_MAGIC) or end != (0, 0, 0):
        raise BlockError("Invalid footer", errno.EINVAL)
    return parse_hosted(header)


def pack_directory_place(directory_offset: int) -> tuple[int, bytes]:
    """(where in a hosted header, what) says that the directory is at `directory_offset`."""
    return struct.calcsize("<4sIIQQQQIQ"), struct.pack("<Q", directory_offset // SECTOR_SIZE)


def new_header(size: int, *, is_compressed: bool, zeroed_grains: bool) -> SparseHeader:
    """The header of a new hosted extent of `size` bytes, whole sectors."""
    flags = HeaderFlag.LINE_ENDS | HeaderFlag.REDUNDANT_DIRECTORY
    if zeroed_grains:
        flags |= HeaderFlag.ZEROED_GRAINS
    if is_compressed:
        flags |= HeaderFlag.COMPRESSED | HeaderFlag.MARKERS
    coverage = _NEW_GRAIN_SIZE * MAX_TABLE_ENTRIES
    tables = -(-size // coverage)
    part = directory_sectors(tables) * SECTOR_SIZE + tables * MAX_TABLE_ENTRIES * ENTRY_SIZE
    redundant = DESCRIPTOR_OFFSET + DESCRIPTOR_AREA
    return SparseHeader(
        version=3 if is_compressed else 2 if zeroed_grains else 1,
        flags=flags,
        capacity=size,
        grain_size=_NEW_GRAIN_SIZE,
        table_coverage=coverage,
        directory_offset=redundant + part,
        directory_entries=tables,
        redundant_directory_offset=redundant,
        data_offset=-(-(redundant + 2 * part) // _NEW_GRAIN_SIZE) * _NEW_GRAIN_SIZE,
        descriptor_offset=DESCRIPTOR_OFFSET,
        is_compressed=is_compressed,
    )


def directory_sectors(entries: int) -> int:
    """How many sectors a directory takes."""
    return -(-entries * ENTRY_SIZE // SECTOR_SIZE)


def pack_entries(sectors: Iterable[int]) -> bytes:
    """Entries of a directory or a table as they are in the file."""
    entries = array(_ENTRY_CODE, sectors)
    if sys.byteorder == "big":
        entries.byteswap()
    return entries.tobytes()


def parse_entries(data: bytes) -> array[int]:
    """The entries of a directory or a table."""
    entries = array(_ENTRY_CODE, data)
    if sys.byteorder == "big":
        entries.byteswap()
    return entries


def pack_hosted(header: SparseHeader) -> bytes:
    """The first sector of a hosted extent."""
    packed = _HOSTED.pack(
        HOSTED_MAGIC,
        header.version,
        header.flags,
        header.capacity // SECTOR_SIZE,
        header.grain_size // SECTOR_SIZE,
        header.descriptor_offset // SECTOR_SIZE,
        DESCRIPTOR_AREA // SECTOR_SIZE,
        header.table_entries,
        (header.redundant_directory_offset or 0) // SECTOR_SIZE,
        header.directory_offset // SECTOR_SIZE,
        header.data_offset // SECTOR_SIZE,
        0,
        _LINE_ENDS,
        _DEFLATE if header.is_compressed else 0,
    )
    return packed.ljust(SECTOR_SIZE, b"\0")
