"""Zero writes and discards: what L2 entries become, a table at a time.

Rules of this file: entries change first, then refcounts fall; a cluster is freed only when no write to it is in flight.
"""

from __future__ import annotations

import errno
from array import array
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.extended_l2 import ALL_ZERO, allocated_bits, zero_bits
from backcheck_engine.drivers.format.qcow2.freeing import free_entries
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.status import reads_as_zero
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED, COPIED, OFFSET_MASK, ZERO, zero_words
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.writing import Writer

_ALLOCATED = OFFSET_MASK | COMPRESSED | COPIED
"""An entry with any of these refers to data; with an external data file COPIED alone does, for guest offset 0."""

Change = Callable[[int, int], tuple[int, int, bool]]
"""(entry, bitmap) -> (new entry, new bitmap, whether the old entry's reference is dropped)"""


class Zeroer:
    """Zero writes to and discards of one image."""

    def __init__(self, image: Image, writer: Writer) -> None:
        self._image = image
        self._writer = writer

    async def write_zeroes(self, offset: int, length: int, *, may_unmap: bool) -> None:
        """Make a guest range read as zeroes by its entries. Raises ENOTSUP where only a buffer of zeroes can."""
        image, geometry = self._image, self._image.geometry
        if image.header.version < 3 and image.node.backing is not None:
            raise BlockError.from_errno(errno.ENOTSUP)
        size = geometry.subcluster_size
        end = offset + length
        start = offset // size * size
        stop = end if end >= image.size else -(-end // size) * size
        if image.data_file_is_raw:
            await image.data.pwrite_zeroes(offset, length)
        await self._writer.settle(start, stop - start)
        try:
            if start != offset or stop != end:
                await self._check_partial(start, offset, end, stop)
            await self.zero_entries(start, stop - start, may_unmap=may_unmap)
        finally:
            image.lock.release()

    async def _check_partial(self, start: int, offset: int, end: int, stop: int) -> None:
        """A range inside a subcluster can be zeroed by its entry only when the rest of it reads as zeroes already."""
        image = self._image
        if stop - start > image.geometry.subcluster_size:
            raise BlockError.from_errno(errno.ENOTSUP)
        if not (await reads_as_zero(image, start, offset - start) and await reads_as_zero(image, end, stop - end)):
            raise BlockError.from_errno(errno.ENOTSUP)

    async def zero_entries(self, offset: int, length: int, *, may_unmap: bool) -> None:
        """Set zero entries for a range of whole subclusters, or up to the end. Call it under the metadata lock."""
        geometry = self._image.geometry
        await self._image.mark_dirty()
        end = offset + length
        if geometry.extended_l2:
            head = min(-offset & geometry.cluster_mask, length)
            if head:
                await self._zero_subclusters(offset, head)
                offset += head
            tail = end & geometry.cluster_mask if end < self._image.size else 0
            if tail and offset < end:
                end -= tail
                await self._zero_subclusters(end, tail)
        if end > offset and self._image.header.version >= 3:
            await self._change(offset, end - offset, self._zero_change(may_unmap), DiscardKind.REQUEST, make=True)
        elif end > offset:
            # Version 2 has no zero clusters; without a backing file unallocated ones do as well.
            await self._change(offset, end - offset, _forget_change, DiscardKind.REQUEST, make=False)
        await self._image.refcounts.pass_discards()

    async def _zero_subclusters(self, offset: int, length: int) -> None:
        """Zero subclusters of one cluster, which keeps its place."""
        image, geometry = self._image, self._image.geometry
        table, table_offset = await image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        index = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
        if table[2 * index] & COMPRESSED:
            raise BlockError.from_errno(errno.ENOTSUP)
        inside = offset & geometry.cluster_mask
        first = inside // geometry.subcluster_size
        end = -(-(inside + length) // geometry.subcluster_size)
        table[2 * index + 1] = (table[2 * index + 1] | zero_bits(first, end)) & ~allocated_bits(first, end)
        image.l2.touch(table_offset, 16 * index, 16 * index + 16)

    def _zero_change(self, may_unmap: bool) -> Change:
        keep_all = self._image.options.discard_no_unref
        extended = self._image.geometry.extended_l2

        def change(entry: int, bitmap: int) -> tuple[int, int, bool]:
            compressed = bool(entry & COMPRESSED)
            unmap = compressed or (may_unmap and bool(entry & _ALLOCATED) and not keep_all)
            new = 0 if unmap else entry
            return (new, ALL_ZERO, unmap) if extended else (new | ZERO, 0, unmap)

        return change

    # Discarding.

    async def discard(self, offset: int, length: int) -> None:
        """The guest needs a range no more. Raises ENOTSUP for what cannot be discarded."""
        image, mask = self._image, self._image.geometry.cluster_mask
        has_backing = image.node.backing is not None
        if image.header.version < 3 and has_backing:
            raise BlockError.from_errno(errno.ENOTSUP)
        if offset & mask or (length & mask and offset + length != image.size):
            raise BlockError.from_errno(errno.ENOTSUP)
        await self._writer.settle(offset, length)
        try:
            await self.discard_entries(offset, length, DiscardKind.REQUEST, full=False)
        finally:
            image.lock.release()

    async def discard_entries(self, offset: int, length: int, kind: DiscardKind, *, full: bool) -> None:
        """Discard whole clusters; `full`: they become unallocated. Call it under the metadata lock."""
        await self._image.mark_dirty()
        has_backing = self._image.node.backing is not None
        change = _forget_change if full else self._discard_change(has_backing)
        await self._change(offset, length, change, kind, make=has_backing and not full)
        await self._image.refcounts.pass_discards()

    def _discard_change(self, has_backing: bool) -> Change:
        image = self._image
        keep_all = image.options.discard_no_unref
        extended, version = image.geometry.extended_l2, image.header.version

        def change(entry: int, bitmap: int) -> tuple[int, int, bool]:
            compressed = bool(entry & COMPRESSED)
            allocated = bool(entry & _ALLOCATED)
            if not (has_backing or allocated):
                return entry, bitmap, False
            kept = entry if keep_all and not compressed else 0
            if extended:
                return kept, ALL_ZERO, not kept
            return (kept | ZERO if version >= 3 else 0), 0, not kept

        return change

    # Changing entries.

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(L1 index, first entry, end entry) for each L2 table that a range touches."""
        geometry = self._image.geometry
        cluster, last = offset >> geometry.cluster_bits, geometry.clusters(offset + length)
        while cluster < last:
            index = cluster >> geometry.l2_bits
            first = cluster & (geometry.l2_entries - 1)
            end = min(geometry.l2_entries, first + last - cluster)
            yield index, first, end
            cluster += end - first

    async def _change(self, offset: int, length: int, change: Change, kind: DiscardKind, *, make: bool) -> None:
        """Change the entries of whole clusters; `make` says whether missing L2 tables are made for it."""
        image = self._image
        words = image.geometry.l2_words
        for index, first, end in self._pieces(offset, length):
            if not make and await image.l1.l2_table(index) is None:
                continue
            table, table_offset = await image.l1.writable_l2_table(index)
            entries = table[first * words : end * words]
            changed, dropped = _changed(entries, words, change)
            if changed != entries:
                table[first * words : end * words] = changed
                image.l2.touch(table_offset, 8 * first * words, 8 * end * words)
            if dropped:
                await free_entries(image, dropped, kind)


def _forget_change(entry: int, bitmap: int) -> tuple[int, int, bool]:
    return 0, 0, bool(entry)


def _changed(entries: array[int], words: int, change: Change) -> tuple[array[int], list[int]]:
    """(the entries after a change, the old ones whose references are dropped)."""
    count = len(entries) // words
    if not any(entries[:words]) and entries == zero_words(len(entries)):
        return array("Q", change(0, 0)[:words]) * count, []
    changed = array("Q")
    dropped: list[int] = []
    for at in range(0, len(entries), words):
        entry, bitmap = entries[at], entries[at + 1] if words == 2 else 0
        result = change(entry, bitmap)
        changed.extend(result[:words])
        if result[2] and entry:
            dropped.append(entry)
    return changed, dropped
