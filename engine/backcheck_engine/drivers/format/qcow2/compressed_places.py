"""Places for compressed data: byte behind byte, also across the border of two clusters.

A host cluster has as many references as there are pieces of compressed data that touch it. As in all that takes and
frees clusters, everything happens under the metadata lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from backcheck_engine.drivers.format.qcow2.options import DiscardKind

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.allocation import Refcounts
    from backcheck_engine.drivers.format.qcow2.image import Image

_ROW_REFCOUNT_BITS: Final = 16
"""From this width on a refcount can count every piece of compressed data that fits into a cluster."""


class CompressedPlaces:
    """Where the next compressed data of one image goes."""

    def __init__(self, refcounts: Refcounts, image: Image) -> None:
        self._refcounts = refcounts
        self._image = image
        self._geometry = image.geometry
        self._free_byte = 0
        """Where the unused rest of a cluster begins, or 0."""

    @property
    def has_rows(self) -> bool:
        """Whether `take_row` may be used."""
        return self._geometry.refcount_bits >= _ROW_REFCOUNT_BITS

    async def take(self, size: int) -> int:
        """Take `size` bytes, at most a cluster, beside earlier ones where they fit, and return their host offset."""
        await self._image.event("cluster_alloc_bytes")
        geometry = self._geometry
        offset = self._free_byte
        if offset and await self._refcounts.get(offset >> geometry.cluster_bits) == geometry.refcount_max:
            offset = 0
        room = -offset & geometry.cluster_mask
        if not offset or room < size:
            cluster = await self._refcounts.allocate(geometry.cluster_size)
            if offset and geometry.round_up(offset) == cluster:
                await self._refcounts.add(offset >> geometry.cluster_bits, 1, 1)
            else:
                offset = cluster
        else:
            await self._refcounts.add(offset >> geometry.cluster_bits, 1, 1)
        self._set_free_byte(offset + size)
        return offset

    async def take_row(self, sizes: Sequence[int]) -> list[int]:
        """Take bytes for the first of several pieces of compressed data in a row: their host offsets.

        These are fewer where only so many fit beside earlier ones; the next row begins elsewhere.
        """
        geometry, refcounts = self._geometry, self._refcounts
        start = self._free_byte
        room = -start & geometry.cluster_mask
        new = -1
        if (total := sum(sizes)) > room:
            if start and await refcounts.next_place(total - room) != geometry.round_up(start):
                fitting = bisect_right(list(accumulate(sizes)), room)
                if fitting:
                    return await self.take_row(sizes[:fitting])
                start = room = 0
            new = await refcounts.allocate(total - room)
            if start and new != geometry.round_up(start):
                # New refcount blocks were in the way.
                await refcounts.free(new, total - room, DiscardKind.NEVER)
                start, new = 0, await refcounts.allocate(total)
            start = start or new
        places = list(accumulate(sizes[:-1], initial=start))
        for cluster, pieces in self._pieces_of_clusters(places, sizes).items():
            # A cluster that is just taken has one reference already.
            missing = pieces - (0 <= new <= cluster << geometry.cluster_bits)
            if missing:
                await refcounts.add(cluster, 1, missing)
        self._set_free_byte(start + total)
        return places

    def _pieces_of_clusters(self, places: Sequence[int], sizes: Sequence[int]) -> dict[int, int]:
        """For each host cluster, how many pieces touch it."""
        bits = self._geometry.cluster_bits
        counts: dict[int, int] = {}
        for place, size in zip(places, sizes, strict=True):
            for cluster in range(place >> bits, ((place + size - 1) >> bits) + 1):
                counts[cluster] = counts.get(cluster, 0) + 1
        return counts

    def freed(self, cluster_offset: int) -> None:
        """A cluster has no reference any more: nothing can be put beside what it held."""
        if cluster_offset == self._free_byte & ~self._geometry.cluster_mask:
            self._free_byte = 0

    def forget_all(self) -> None:
        """Begin a new cluster the next time."""
        self._free_byte = 0

    def _set_free_byte(self, end: int) -> None:
        self._free_byte = end if end & self._geometry.cluster_mask else 0
