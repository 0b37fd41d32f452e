"""Writing several separate guest ranges together: where all are new clusters, they lie side by side in the file.

One write then carries the data of many, and the metadata is locked twice for all of them. Whatever is not as simple as
that is left to writing one range after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block.request import Buffer
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
    from backcheck_engine.drivers.format.qcow2.placing import Placer
    from backcheck_engine.drivers.format.qcow2.writing import Writer

Piece = tuple[int, Buffer]


class ScatteredWriter:
    """Guest writes to many places of one image at once."""

    def __init__(self, image: Image, writer: Writer, placer: Placer) -> None:
        self._image = image
        self._writer = writer
        self._placer = placer

    async def write(self, pieces: Sequence[Piece]) -> int:
        """Write as many of the first `pieces` as can be written together; how many that was.

        0 also when that failed: writing them one by one then tells which of them fails.
        """
        if self._image.file.wants_debug_events or self._image.has_data_file or self._image.geometry.extended_l2:
            return 0
        placed: list[tuple[Allocation, Buffer]] = []
        try:
            async with self._image.lock:
                for offset, data in pieces:
                    if not await self._is_new(offset, len(data)):
                        break
                    place = await self._placer.place_locked(offset, len(data))
                    assert place.allocation is not None
                    placed.append((place.allocation, data))
            for host, buffers in _side_by_side(placed):
                data = b"".join(buffers)
                await self._writer.check_data_write(host, len(data))
                await self._image.data.pwrite(host, data)
        except BlockError:
            for allocation, _ in placed:
                await self._writer.abort(allocation)
            return 0
        except BaseException:
            for allocation, _ in placed:
                await self._writer.abort(allocation)
            raise
        try:
            await self._writer.finish_all([allocation for allocation, _ in placed])
        except BlockError:
            return 0
        return len(placed)

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


def _side_by_side(placed: Sequence[tuple[Allocation, Buffer]]) -> Iterator[tuple[int, list[Buffer]]]:
    """(host offset, buffers) of each run of allocations without a gap between them in the file."""
    start = end = -1
    buffers: list[Buffer] = []
    for allocation, data in placed:
        if allocation.host != end and buffers:
            yield start, buffers
            buffers = []
        if not buffers:
            start = allocation.host
        buffers.append(data)
        end = allocation.host + len(data)
    if buffers:
        yield start, buffers
