"""Finding the place for a guest write: where it may be written over, or newly taken clusters.

What the write will change in the L2 table afterwards is described by an `Allocation`, which is in flight from here on.
"""

from __future__ import annotations

import errno
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from backcheck_engine.block.request import Range
from backcheck_engine.drivers.format.qcow2.extended_l2 import allocated_bits
from backcheck_engine.drivers.format.qcow2.hexadecimal import c_hex
from backcheck_engine.drivers.format.qcow2.in_flight import Allocation, InFlight
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.drivers.format.qcow2.tables import (
    COMPRESSED,
    COPIED,
    OFFSET_MASK,
    ClusterKind,
    cluster_kind,
    progression,
)
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image

_IN_PLACE = frozenset({ClusterKind.NORMAL, ClusterKind.ZERO_ALLOCATED})


class Place(NamedTuple):
    """Where the first part of a write goes."""

    host: int
    length: int
    allocation: Allocation | None
    """The entries to change afterwards, or None when they are right already."""


class Placer:
    """Places for writes to one image."""

    def __init__(self, image: Image, in_flight: InFlight) -> None:
        self._image = image
        self._in_flight = in_flight

    async def place(self, offset: int, length: int) -> Place:
        """The place of the first part of a guest range, once no other write is giving its clusters one."""
        while True:
            async with self._image.lock:
                usable, other = self._in_flight.usable(offset, length)
                if other is None:
                    return await self.place_locked(offset, usable)
                waiter = self._in_flight.wait(other)
            await waiter

    async def place_locked(self, offset: int, length: int) -> Place:
        """`place` for who holds the metadata lock, and knows that no other write is in the way."""
        image, geometry = self._image, self._image.geometry
        table, _ = await image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        within = offset & (geometry.l2_coverage - 1)
        length = min(length, geometry.l2_coverage - within)
        index = within >> geometry.cluster_bits
        clusters = geometry.clusters(length + (offset & geometry.cluster_mask))
        entry = table[index * geometry.l2_words]
        if self._is_in_place(entry):
            return await self._place_in_place(table, index, clusters, offset, length)
        return await self._place_new(table, index, clusters, offset, length)

    async def place_together_locked(self, ranges: Sequence[Range]) -> Allocation:
        """Places side by side for separate ranges of whole clusters that have none, nor does anybody give them one.

        For who holds the metadata lock. Not for external data files and extended L2 entries. Until the allocation ends,
        what lies between the ranges has to wait too.
        """
        clusters = sum(length for _, length in ranges) >> self._image.geometry.cluster_bits
        host = await self._take_clusters(clusters)
        start, end = ranges[0][0], sum(ranges[-1])
        allocation = Allocation(
            offset=start, end=end, clusters=clusters, host=host, keep_old=False, data_start=start, data_end=end
        )
        self._in_flight.add(allocation)
        return allocation

    def _is_in_place(self, entry: int) -> bool:
        if not entry & COPIED or entry & COMPRESSED:
            return False
        return cluster_kind(entry, has_data_file=self._image.has_data_file) in _IN_PLACE

    async def _place_in_place(self, table: array[int], index: int, clusters: int, offset: int, length: int) -> Place:
        """Clusters that have a place of their own already."""
        image, geometry = self._image, self._image.geometry
        words = geometry.l2_words
        entries = table[index * words : (index + clusters) * words : words]
        entry = entries[0]
        host = entry & OFFSET_MASK
        if host & geometry.cluster_mask:
            await image.corruption(
                f"Preallocated zero cluster offset {c_hex(host)} unaligned (guest offset: {c_hex(offset)})", fatal=True
            )
            raise BlockError.from_errno(errno.EIO)
        run = progression(entries, 0, clusters, geometry.cluster_size)
        inside = offset & geometry.cluster_mask
        length = min(length, run * geometry.cluster_size - inside)
        if not self._needs_entries(table, index, offset, length):
            return Place(host + inside, length, None)
        allocation = self._begin(table, index, offset, length, host, keep_old=True)
        return Place(host + inside, length, allocation)

    def _needs_entries(self, table: array[int], index: int, offset: int, length: int) -> bool:
        """Whether a write to clusters that have a place changes what their L2 entries say."""
        geometry = self._image.geometry
        if not geometry.extended_l2:
            return cluster_kind(table[index], has_data_file=self._image.has_data_file) is not ClusterKind.NORMAL
        at = offset
        while at < offset + length:
            inside = at & geometry.cluster_mask
            end = min(offset + length - (at - inside), geometry.cluster_size)
            wanted = allocated_bits(inside // geometry.subcluster_size, -(-end // geometry.subcluster_size))
            number = index + ((at >> geometry.cluster_bits) - (offset >> geometry.cluster_bits))
            if table[2 * number + 1] & wanted != wanted:
                return True
            at += geometry.cluster_size - inside
        return False

    async def _place_new(self, table: array[int], index: int, clusters: int, offset: int, length: int) -> Place:
        """Clusters that get a new place."""
        image, geometry = self._image, self._image.geometry
        count = 1
        while count < clusters and not self._is_in_place(table[(index + count) * geometry.l2_words]):
            count += 1
        inside = offset & geometry.cluster_mask
        length = min(length, count * geometry.cluster_size - inside)
        if image.has_data_file:
            host = offset - inside
        else:
            host = await self._take_clusters(count)
        allocation = self._begin(table, index, offset, length, host, keep_old=False)
        return Place(host + inside, length, allocation)

    async def _take_clusters(self, count: int) -> int:
        """The host offset of newly taken clusters in a row."""
        image, length = self._image, count * self._image.geometry.cluster_size
        await image.mark_dirty()
        host = await image.refcounts.allocate(length)
        if host == 0:
            # The header's cluster is never free: its refcount is wrong.
            await image.check_metadata_write(host, length, Section.NONE)
            raise BlockError.from_errno(errno.EIO)
        return host

    def _begin(
        self, table: array[int], index: int, offset: int, length: int, host: int, *, keep_old: bool
    ) -> Allocation:
        """Enter an allocation for a guest range whose first cluster lies at `host`."""
        geometry = self._image.geometry
        inside = offset & geometry.cluster_mask
        start, end = offset - inside, geometry.round_up(offset + length)
        allocation = Allocation(
            offset=start,
            end=end,
            clusters=(end - start) >> geometry.cluster_bits,
            host=host,
            keep_old=keep_old,
            data_start=offset,
            data_end=offset + length,
        )
        copy_start, copy_end = start, end
        if geometry.extended_l2:
            copy_start, copy_end = self._copied_subclusters(table, index, allocation)
        allocation.head = (copy_start, offset - copy_start)
        allocation.tail = (offset + length, copy_end - offset - length)
        self._in_flight.add(allocation)
        return allocation

    def _copied_subclusters(self, table: array[int], index: int, allocation: Allocation) -> tuple[int, int]:
        """Where copying begins and ends around a write to extended L2 entries.

        The subclusters that the write touches have to be complete. When the cluster moves, all that hold
        data or are allocated move with it.
        """
        geometry = self._image.geometry
        size = geometry.subcluster_size
        start = allocation.data_start // size * size
        end = -(-allocation.data_end // size) * size
        last = index + allocation.clusters - 1
        if allocation.keep_old:
            if self._is_complete(table, index, allocation.data_start):
                start = allocation.data_start
            if allocation.data_end & geometry.cluster_mask and self._is_complete(table, last, allocation.data_end):
                end = allocation.data_end
            return start, end
        first_used = self._used_subclusters(table, index)
        if first_used:
            lowest = allocation.offset + ((first_used & -first_used).bit_length() - 1) * size
            start = min(start, lowest)
        last_used = self._used_subclusters(table, last)
        if last_used:
            last_cluster = allocation.end - geometry.cluster_size
            end = max(end, last_cluster + last_used.bit_length() * size)
        return start, end

    def _is_complete(self, table: array[int], index: int, offset: int) -> bool:
        """Whether the subcluster at a guest offset is allocated already, in place."""
        geometry = self._image.geometry
        subcluster = (offset & geometry.cluster_mask) // geometry.subcluster_size
        return bool(table[2 * index + 1] >> subcluster & 1)

    def _used_subclusters(self, table: array[int], index: int) -> int:
        """Bitmap of the subclusters whose data would be lost if the cluster moved without them."""
        entry, bitmap = table[2 * index], table[2 * index + 1]
        if entry & COMPRESSED:
            return allocated_bits(0, self._image.geometry.subclusters)
        return bitmap & allocated_bits(0, self._image.geometry.subclusters)
