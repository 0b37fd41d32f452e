"""Which host clusters hold metadata, so that no write goes there by mistake of a damaged image.

The check is made before data and metadata writes, by the sections that the option overlap-check selects.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.tables import OFFSET_MASK

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.header import Header
    from backcheck_engine.drivers.format.qcow2.image import Image


class Section(enum.Flag):
    """Kinds of metadata, by the names that QEMU's messages give them."""

    NONE = 0
    MAIN_HEADER = enum.auto()
    ACTIVE_L1 = enum.auto()
    ACTIVE_L2 = enum.auto()
    REFCOUNT_TABLE = enum.auto()
    REFCOUNT_BLOCK = enum.auto()
    SNAPSHOT_TABLE = enum.auto()
    INACTIVE_L1 = enum.auto()
    INACTIVE_L2 = enum.auto()
    BITMAP_DIRECTORY = enum.auto()


SECTION_NAMES: dict[Section, str] = {
    Section.MAIN_HEADER: "qcow2_header",
    Section.ACTIVE_L1: "active L1 table",
    Section.ACTIVE_L2: "active L2 table",
    Section.REFCOUNT_TABLE: "refcount table",
    Section.REFCOUNT_BLOCK: "refcount block",
    Section.SNAPSHOT_TABLE: "snapshot table",
    Section.INACTIVE_L1: "inactive L1 table",
    Section.INACTIVE_L2: "inactive L2 table",
    Section.BITMAP_DIRECTORY: "bitmap directory",
}

CONSTANT = Section.MAIN_HEADER | Section.REFCOUNT_TABLE | Section.ACTIVE_L1 | Section.SNAPSHOT_TABLE
CONSTANT |= Section.BITMAP_DIRECTORY
CACHED = CONSTANT | Section.ACTIVE_L2 | Section.REFCOUNT_BLOCK | Section.INACTIVE_L1
ALL = CACHED | Section.INACTIVE_L2
TEMPLATES: dict[str, Section] = {"none": Section.NONE, "constant": CONSTANT, "cached": CACHED, "all": ALL}


_ACTIVE_L2: int = Section.ACTIVE_L2.value
_REFCOUNT_BLOCK: int = Section.REFCOUNT_BLOCK.value


class MetadataMap:
    """The metadata of one image by host cluster, built when first asked and kept up by those who move tables."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._l2_tables: set[int] | None = None
        self._refcount_blocks: set[int] = set()
        self._ranges: list[tuple[int, int, Section]] = []
        self._ranges_header: Header | None = None
        """The header that `_ranges` were made from; headers are replaced, never changed."""

    def add_l2_table(self, offset: int) -> None:
        """The L1 table now refers to `offset`."""
        if self._l2_tables is not None:
            self._l2_tables.add(offset >> self._image.geometry.cluster_bits)

    def remove_l2_table(self, offset: int) -> None:
        """The L1 table no longer refers to `offset`."""
        if self._l2_tables is not None:
            self._l2_tables.discard(offset >> self._image.geometry.cluster_bits)

    def add_refcount_block(self, offset: int) -> None:
        """The refcount table now refers to `offset`."""
        self._refcount_blocks.add(offset >> self._image.geometry.cluster_bits)

    def forget(self) -> None:
        """Tables changed as a whole: build the map anew when it is asked again."""
        self._l2_tables = None

    def find(self, offset: int, length: int, ignored: Section) -> Section | None:
        """The section that [offset, offset + length) overlaps, or None."""
        checked = self._image.options.overlap_check.value & ~ignored.value
        if not length or not checked:
            return None
        if self._l2_tables is None:
            self._build()
        bits = self._image.geometry.cluster_bits
        first, end = offset >> bits, ((offset + length - 1) >> bits) + 1
        clusters = range(first, end)
        assert self._l2_tables is not None
        if checked & _ACTIVE_L2 and not self._l2_tables.isdisjoint(clusters):
            return Section.ACTIVE_L2
        if checked & _REFCOUNT_BLOCK and not self._refcount_blocks.isdisjoint(clusters):
            return Section.REFCOUNT_BLOCK
        if self._ranges_header is not self._image.header:
            self._find_ranges()
        start, stop = first << bits, end << bits
        for table_start, table_end, section in self._ranges:
            if table_start < stop and start < table_end and checked & section.value:
                return section
        return None

    def _find_ranges(self) -> None:
        header = self._image.header
        size = self._image.geometry.cluster_size
        found = [
            (Section.MAIN_HEADER, 0, size),
            (Section.ACTIVE_L1, header.l1_offset, 8 * header.l1_size),
            (Section.REFCOUNT_TABLE, header.refcount_table_offset, header.refcount_table_clusters * size),
        ]
        if header.snapshot_count:
            found.append((Section.SNAPSHOT_TABLE, header.snapshots_offset, self._image.snapshot_table_length))
            found += [(Section.INACTIVE_L1, s.l1_offset, 8 * s.l1_size) for s in self._image.snapshots]
        if header.bitmaps is not None:
            bitmaps = header.bitmaps
            found.append((Section.BITMAP_DIRECTORY, bitmaps.directory_offset, bitmaps.directory_size))
        self._ranges = [(start, start + length, section) for section, start, length in found if length]
        self._ranges_header = header

    def _build(self) -> None:
        bits = self._image.geometry.cluster_bits
        tables = self._image.l1.entries
        self._l2_tables = {(entry & OFFSET_MASK) >> bits for entry in tables if entry}
        self._refcount_blocks = {entry >> bits for entry in self._image.refcounts.table if entry}
