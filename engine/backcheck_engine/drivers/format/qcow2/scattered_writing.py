"""Writing several separate guest ranges together: where all are new clusters, they lie side by side in the file.

One write then carries the data of many, and the metadata is locked twice for all of them. Whatever is not as simple as
that is left to writing one range after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block.request import Range
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
    from backcheck_engine.drivers.format.qcow2.placing import Placer
    from backcheck_engine.drivers.format.qcow2.writing import Writer

_FEWEST = 2
"""Ranges that are fewer are left to who writes one."""


class ScatteredWriter:
    """Guest writes to many places of one image at once."""

    def __init__(self, image: Image, writer: Writer, placer: Placer) -> None:
        self._image = image
        self._writer = writer
        self._placer = placer

    async def write(self, ranges: Sequence[Range], data: memoryview) -> int:
        """Write as many of the first `ranges` as can be written together; how many that was.

        0 also when that failed: writing them one by one then tells which of them fails.
        """
        image = self._image
        if image.file.wants_debug_events or image.has_data_file or image.geometry.extended_l2:
            return 0
        allocations: list[Allocation] = []
        try:
            async with image.lock:
                count = await self._count_new(ranges)
                if count < _FEWEST:
                    return 0
                allocations = await self._placer.place_together_locked(ranges[:count])
            await self._write_data(allocations, data)
        except BaseException as error:
            for allocation in allocations:
                await self._writer.abort(allocation)
            if isinstance(error, BlockError):
                return 0
            raise
        try:
            await self._writer.finish_all(allocations)
        except BlockError:
            return 0
        return count

    async def _write_data(self, allocations: Sequence[Allocation], data: memoryview) -> None:
        """Write to places side by side, the short pieces that they are, or else all at once."""
        host = allocations[0].host
        places = [(allocation.host, allocation.end - allocation.offset) for allocation in allocations]
        length = sum(places[-1]) - host
        await self._writer.check_data_write(host, length)
        if await self._image.data.pwrite_scattered(places, data) < len(places):
            await self._image.data.pwrite(host, data[:length])

    async def _count_new(self, ranges: Sequence[Range]) -> int:
        """How many of the first `ranges` can be given new places. Call it under the metadata lock."""
        for index, (offset, length) in enumerate(ranges):
            if not await self._is_new(offset, length):
                return index
        return len(ranges)

    async def _is_new(self, offset: int, length: int) -> bool:
        """Whether a guest range is whole clusters that nobody has given a place. Call it under the metadata lock."""
        geometry = self._image.geometry
        within = offset & (geometry.l2_coverage - 1)
        if (offset | length) & geometry.cluster_mask or within + length > geometry.l2_coverage:
            return False
        usable, other = self._writer.in_flight.usable(offset, length)
        if other is not None or usable < length:
            return False
        table, _ = await self._image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        first = within >> geometry.cluster_bits
        return not any(table[first : first + (length >> geometry.cluster_bits)])
