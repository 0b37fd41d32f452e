"""The extents that a disk is made of, one behind the other, and what lies where in them."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.vmdk.header import HeaderFlag, SparseHeader
from backcheck_engine.drivers.format.vmdk.tables import GrainTables

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

ZEROED_ENTRY: Final = 1
"""The table entry of a grain of zeroes."""


class Kind(enum.Enum):
    """What a part of an extent is."""

    HOLE = enum.auto()
    """The backing decides."""
    ZEROED = enum.auto()
    DATA = enum.auto()
    PACKED = enum.auto()
    """Compressed data."""


class Span(NamedTuple):
    """A part of an extent that is all of one kind, and in one piece where it is data."""

    kind: Kind
    length: int
    host_offset: int = 0
    """Where in the extent's file: of the data, or of the compressed grain that the span is in."""


class Extent(ABC):
    """A part of the disk with a file of its own."""

    is_packed = False
    has_zeroed_grains = False
    grain_size = 0
    """0 where there are no grains."""

    def __init__(self, file: Node, *, start: int, size: int, kind: str) -> None:
        self.file = file
        self.start = start
        """Where on the disk it begins."""
        self.size = size
        self.kind = kind
        """What the descriptor calls it; '' for an image in one file."""

    @property
    def end(self) -> int:
        """Where on the disk it ends."""
        return self.start + self.size

    @abstractmethod
    async def locate(self, offset: int, length: int) -> Span:
        """What is at `offset` of the extent, up to `length` bytes of it. Raises BlockError."""


class FlatExtent(Extent):
    """A file that has the content as it is, from some place on."""

    def __init__(self, file: Node, *, start: int, size: int, kind: str, file_offset: int) -> None:
        super().__init__(file, start=start, size=size, kind=kind)
        self._file_offset = file_offset

    async def locate(self, offset: int, length: int) -> Span:
        return Span(Kind.DATA, min(length, self.size - offset), self._file_offset + offset)


class SparseExtent(Extent):
    """A file of grains in the order in which they were first written, and tables that find them."""

    def __init__(self, file: Node, header: SparseHeader, *, start: int, kind: str) -> None:
        super().__init__(file, start=start, size=header.capacity, kind=kind)
        self.header = header
        self.tables = GrainTables(file, header)
        self.is_packed = header.is_compressed
        self.has_markers = HeaderFlag.MARKERS in header.flags
        self.has_zeroed_grains = HeaderFlag.ZEROED_GRAINS in header.flags
        self.grain_size = header.grain_size
        self.next_grain = -(-file.size // self.grain_size) * self.grain_size
        """Where in the file the next grain goes."""
        self.footer_counts = False
        """Whether the directory's place is told by a footer, which has to be the last thing in the file."""

    async def locate(self, offset: int, length: int) -> Span:
        coverage = self.header.table_coverage
        index, within = divmod(offset, coverage)
        length = min(length, self.size - offset)
        table = await self.tables.table(index)
        if table is None:
            missing = await self.tables.count_missing(index)
            return Span(Kind.HOLE, min(length, missing * coverage - within))
        length = min(length, coverage - within)
        first, skipped = divmod(within, self.grain_size)
        last = (within + length - 1) // self.grain_size
        entry = table[first]
        kind = self._kind(entry)
        if kind is Kind.PACKED:
            return Span(kind, min(length, self.grain_size - skipped), entry * SECTOR_SIZE)
        step = self.grain_size // SECTOR_SIZE if kind is Kind.DATA else 0
        number = first + 1
        if not entry and not any(table[first : last + 1]):
            number = last + 1
        while number <= last and table[number] == entry + (number - first) * step:
            number += 1
        host_offset = entry * SECTOR_SIZE + skipped if kind is Kind.DATA else 0
        return Span(kind, min(length, (number - first) * self.grain_size - skipped), host_offset)

    def _kind(self, entry: int) -> Kind:
        if not entry:
            return Kind.HOLE
        if entry == ZEROED_ENTRY and self.has_zeroed_grains:
            return Kind.ZEROED
        return Kind.PACKED if self.is_packed else Kind.DATA
