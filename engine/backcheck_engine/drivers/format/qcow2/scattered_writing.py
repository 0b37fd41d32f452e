"""Writing several separate guest ranges together: where all are new clusters, they lie side by side in the file.

The metadata is locked twice for all of them. Whatever is not as simple as that is left to writing one range after the
other, which also tells what fails.
"""

from __future__ import annotations

import errno
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from backcheck_engine.block.request import FilePiece, Range
from backcheck_engine.drivers.format.qcow2.tables import COPIED, zero_words
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
    from backcheck_engine.drivers.format.qcow2.placing import Placer
    from backcheck_engine.drivers.format.qcow2.writing import Writer

_FEWEST = 2
"""Ranges that are fewer are left to who writes one."""


class ScatteredWriter:
    """Guest writes to many places of one image at once. Ranges ascend."""

    def __init__(self, image: Image, writer: Writer, placer: Placer) -> None:
        self._image = image
        self._writer = writer
        self._placer = placer

    async def write(self, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        """Write as many of the first `ranges` as can be written together; how many that was.

        0 also when that failed.
        """
        image = self._image
        if image.file.wants_debug_events or image.has_data_file or image.geometry.extended_l2:
            return 0
        try:
            async with image.lock:
                count = await self._count_new(ranges)
                if count < _FEWEST:
                    return 0
                ranges, pieces = ranges[:count], pieces[:count]
                allocation = await self._placer.place_together_locked(ranges)
            await self._write_at(allocation, ranges, pieces)
        except BlockError:
            return 0
        return count

    async def _write_at(self, allocation: Allocation, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> None:
        """Write to places side by side, then change the entries; or give back what was taken. Raises BlockError."""
        lengths = [length for _, length in ranges]
        places = list(zip(accumulate(lengths, initial=allocation.host), lengths, strict=False))
        try:
            await self._writer.check_data_write(allocation.host, sum(lengths))
            written = await self._image.data.pwrite_scattered(places, pieces)
            if written < len(places):
                raise BlockError.from_errno(errno.EIO)
            async with self._image.lock:
                await self._link(allocation, ranges)
        except BaseException:
            await self._writer.abort(allocation)
            raise
        self._writer.in_flight.remove(allocation)

    async def _link(self, allocation: Allocation, ranges: Sequence[Range]) -> None:
        """Change the entries; what has an entry is no longer the allocation's to give back. Call it under the lock."""
        image, geometry = self._image, self._image.geometry
        if not image.options.lazy_refcounts:
            await image.l2.depend_on(image.refcounts.cache)
        mapped, table, table_offset = -1, zero_words(0), 0
        for offset, length in ranges:
            index = offset >> geometry.l2_coverage_bits
            if index != mapped:
                table, table_offset = await image.l1.writable_l2_table(index)
                mapped = index
            first = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
            count, entry = length >> geometry.cluster_bits, allocation.host | COPIED
            table[first : first + count] = array("Q", range(entry, entry + length, geometry.cluster_size))
            image.l2.touch(table_offset, 8 * first, 8 * (first + count))
            allocation.host += length
            allocation.clusters -= count

    async def _count_new(self, ranges: Sequence[Range]) -> int:
        """How many of the first `ranges` can be given new places. Call it under the metadata lock."""
        geometry = self._image.geometry
        mapped, table = -1, zero_words(0)
        for number, (offset, length) in enumerate(ranges):
            if not self._is_free(offset, length):
                return number
            index = offset >> geometry.l2_coverage_bits
            if index != mapped:
                table, _ = await self._image.l1.writable_l2_table(index)
                mapped = index
            first = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
            if any(table[first : first + (length >> geometry.cluster_bits)]):
                return number
        return len(ranges)

    def _is_free(self, offset: int, length: int) -> bool:
        """Whether a guest range is whole clusters of one L2 table that nobody is giving a place."""
        geometry = self._image.geometry
        within = offset & (geometry.l2_coverage - 1)
        if (offset | length) & geometry.cluster_mask or within + length > geometry.l2_coverage:
            return False
        usable, other = self._writer.in_flight.usable(offset, length)
        return other is None and usable == length
