"""An open image: where each cluster is, and places at the file's end for new ones.

Nothing is ever freed, so that who has looked up a place may read it, or overwrite plain data there, without the lock.
Data is written before the entry that refers to it, an L2 table before the L1 entry.
"""

from __future__ import annotations

import asyncio
import enum
import errno
from typing import TYPE_CHECKING, NamedTuple

from backcheck_engine.drivers.format.qcow.header import ENTRY_BYTES
from backcheck_engine.drivers.format.qcow.tables import COMPRESSED, Table, Tables
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.format.qcow.header import Header


class ClusterKind(enum.Enum):
    """What an L2 entry says of a cluster."""

    UNALLOCATED = enum.auto()
    NORMAL = enum.auto()
    COMPRESSED = enum.auto()


class Extent(NamedTuple):
    """Guest bytes from some offset on that have one kind; normal ones follow each other in the file."""

    kind: ClusterKind
    length: int
    host: int = 0
    """Where the first byte lies in the file, of a normal extent; in a damaged image perhaps between sectors."""
    entries: tuple[int, ...] = ()
    """The L2 entries of a compressed extent, one for each cluster it touches."""


class Image:
    """One image: its header, its tables, and the lock for both."""

    def __init__(self, node: Node, header: Header) -> None:
        self.node = node
        self.header = header
        self.cluster_size = header.cluster_size
        self.lock = asyncio.Lock()
        self._tables = Tables(node.file)
        self._l1 = Table(header.l1_offset, header.l1_entries)

    @property
    def file(self) -> Node:
        """What the image is stored in."""
        return self.node.file

    # Looking up.

    async def lookup(self, offset: int, length: int) -> Extent:
        """What is at a guest offset, for up to `length` bytes, in one L2 table if there is one. Call it locked."""
        header, size = self.header, self.cluster_size
        within = offset & (size - 1)
        l1_index, first = self._indices(offset)
        table = await self._l2_table(l1_index)
        if table is None:
            empty = await self._tables.count_empty(self._l1, l1_index)
            in_empty = self.rest_of_table(offset) + (empty - 1) * header.l2_entries * size
            return Extent(ClusterKind.UNALLOCATED, min(length, in_empty))
        count = min(-(-(within + length) // size), header.l2_entries - first)
        entries = await self._tables.read(table, first, count)
        kind = _kind(entries[0])
        count = _run(entries, kind, size)
        length = min(length, count * size - within)
        if kind is ClusterKind.COMPRESSED:
            return Extent(kind, length, entries=tuple(entries[:count]))
        return Extent(kind, length, host=entries[0] + within)

    def rest_of_table(self, offset: int) -> int:
        """How many bytes of the guest, from `offset` on, are in the same L2 table."""
        coverage = self.header.l2_entries * self.cluster_size
        return coverage - offset % coverage

    def compressed_place(self, entry: int) -> tuple[int, int]:
        """(offset in the file, length) of the compressed data that an L2 entry describes."""
        shift = 63 - self.header.cluster_bits
        return entry & ((1 << shift) - 1), entry >> shift & (self.cluster_size - 1)

    def compressed_entry(self, place: int, length: int) -> int:
        """The L2 entry for compressed data. Raises EFBIG where no entry can say so."""
        shift = 63 - self.header.cluster_bits
        if place >> shift:
            raise BlockError.from_errno(errno.EFBIG)
        return COMPRESSED | length << shift | place

    async def _l2_table(self, l1_index: int) -> Table | None:
        (place,) = await self._tables.read(self._l1, l1_index, 1)
        return Table(place, self.header.l2_entries) if place else None

    # Adding.

    def end_of_file(self, alignment: int) -> int:
        """The first place behind all that is in the file that is a multiple of `alignment`. Call it under the lock."""
        end = max(self.file.size, self._l1.offset + self._l1.entries * ENTRY_BYTES)
        return -(-end // alignment) * alignment

    async def make_table(self, offset: int) -> None:
        """Have an L2 table for a guest offset, before its clusters get places, as in QEMU. Call it under the lock."""
        l1_index, _ = self._indices(offset)
        await self.event("l2_load")
        if await self._l2_table(l1_index) is None:
            await self._new_l2_table(l1_index)

    async def link(self, offset: int, entries: Sequence[int]) -> None:
        """Make these the L2 entries of the clusters from a guest offset on, in one table. Call it under the lock."""
        l1_index, first = self._indices(offset)
        table = await self._l2_table(l1_index)
        assert table is not None, "made before"
        await self.event("l2_update")
        await self._tables.write(table, first, entries)

    def _indices(self, offset: int) -> tuple[int, int]:
        """(number of the L2 table, number of the entry in it) for a guest offset."""
        header = self.header
        cluster = offset >> header.cluster_bits
        return cluster >> header.l2_bits, cluster & (header.l2_entries - 1)

    async def _new_l2_table(self, l1_index: int) -> None:
        table = Table(self.end_of_file(self.cluster_size), self.header.l2_entries)
        await self.event("l2_alloc_write")
        await self.file.pwrite(table.offset, bytes(table.entries * ENTRY_BYTES))
        self._tables.forget()  # a damaged image may have had entries that pointed here
        await self.event("l1_update")
        await self._tables.write(self._l1, l1_index, [table.offset])

    async def make_empty(self) -> None:
        """Forget all clusters: everything comes from the backing file again, and the file ends with the L1 table."""
        async with self.lock:
            length = self._l1.entries * ENTRY_BYTES
            await self.file.pwrite_zeroes(self._l1.offset, length)
            self._tables.forget()
            await self.file.truncate(self._l1.offset + length, exact=False)

    async def event(self, name: str) -> None:
        """Report a BlkdebugEvent where somebody wants them."""
        if self.file.wants_debug_events:
            await self.file.debug_event(name)


def _kind(entry: int) -> ClusterKind:
    """The kind of one cluster."""
    if entry & COMPRESSED:
        return ClusterKind.COMPRESSED
    return ClusterKind.NORMAL if entry else ClusterKind.UNALLOCATED


def _run(entries: Sequence[int], kind: ClusterKind, cluster_size: int) -> int:
    """How many of the first entries are of `kind`, the first one's, and, if normal, follow each other in the file."""
    if kind is ClusterKind.COMPRESSED:
        return next((number for number, entry in enumerate(entries) if not entry & COMPRESSED), len(entries))
    step = cluster_size if kind is ClusterKind.NORMAL else 0
    first = entries[0]
    return next((number for number, entry in enumerate(entries) if entry != first + number * step), len(entries))
