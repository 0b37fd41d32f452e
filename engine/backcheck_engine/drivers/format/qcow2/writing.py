"""Writes: finding or taking the place, writing the data with what has to be copied around it, then the L2 entries.

Rules of this file: the metadata lock is held while places are found and entries changed, never while data is written;
an L2 entry changes only when the data it refers to is in the file; a write that fails gives back what it took.
"""

from __future__ import annotations

import errno
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

from backcheck_engine.block.io_threads import run_in_thread
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.drivers.format.qcow2.compression import compress, make_descriptor
from backcheck_engine.drivers.format.qcow2.extended_l2 import allocated_bits, zero_bits
from backcheck_engine.drivers.format.qcow2.freeing import free_entries
from backcheck_engine.drivers.format.qcow2.hexadecimal import c_hex
from backcheck_engine.drivers.format.qcow2.in_flight import Allocation, InFlight
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.overlap import SECTION_NAMES, Section
from backcheck_engine.drivers.format.qcow2.reading import read
from backcheck_engine.drivers.format.qcow2.status import reads_as_zero
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

_MIN_ZEROED = 128 * 1024
"""From this size on, zeroing a place is cheaper than writing zeroes around the data."""
_IN_PLACE = frozenset({ClusterKind.NORMAL, ClusterKind.ZERO_ALLOCATED})


class Writer:
    """Guest writes to one image."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.in_flight = InFlight()

    async def write(self, offset: int, data: Buffer) -> None:
        """Write `data` at a guest offset, piece by piece."""
        view = memoryview(data)
        done, length = 0, len(view)
        while done < length:
            host, count, allocation = await self.place(offset + done, length - done)
            piece = view if count == length else view[done : done + count]
            if allocation is None:
                await self._write_in_place(offset + done, host, piece)
            else:
                await self._write_allocated(allocation, host, piece)
            done += count

    async def settle(self, offset: int, length: int) -> None:
        """Take the metadata lock once no write to a guest range is in flight. The caller releases it."""
        while True:
            await self._image.lock.acquire()
            if self.in_flight.is_settled(offset, length):
                return
            waiter = self.in_flight.wait_for_change()
            self._image.lock.release()
            await waiter

    async def write_compressed(self, offset: int, data: Buffer) -> None:
        """Write whole clusters (the last one up to the disk's end) in compressed form; empty data ends them all.

        Raises EIO for a cluster that is allocated already, as QEMU does.
        """
        image, geometry = self._image, self._image.geometry
        if image.has_data_file:
            raise BlockError.from_errno(errno.ENOTSUP)
        view = memoryview(data)
        if offset & geometry.cluster_mask or (len(view) & geometry.cluster_mask and offset + len(view) != image.size):
            raise BlockError.from_errno(errno.EINVAL)
        for at in range(0, len(view), geometry.cluster_size):
            await self._write_compressed_cluster(offset + at, view[at : at + geometry.cluster_size])

    async def _write_compressed_cluster(self, offset: int, data: memoryview) -> None:
        image, size = self._image, self._image.geometry.cluster_size
        plain: Buffer = data if len(data) == size else bytes(data) + bytes(size - len(data))
        packed = await run_in_thread(compress, image.header.compression_type, plain)
        if packed is None:
            await self.write(offset, data)
            return
        await self.settle(offset, size)
        try:
            host = await self._take_compressed(offset, len(packed))
            allocation = Allocation(
                offset=offset, clusters=1, host=host, keep_old=True, data_start=offset, data_end=offset + size
            )
            self.in_flight.add(allocation)
        finally:
            image.lock.release()
        try:
            await self._check_data_write(host, len(packed))
            await image.event("write_compressed")
            await image.file.pwrite(host, packed)
            async with image.lock:
                await self._link_compressed(offset, host, len(packed))
        except BaseException:
            async with image.lock:
                with suppress(BlockError):
                    await image.refcounts.free(host, len(packed), DiscardKind.NEVER)
            raise
        finally:
            self.in_flight.remove(allocation)

    async def _take_compressed(self, offset: int, length: int) -> int:
        """A place for compressed data of a cluster that has none yet."""
        image, geometry = self._image, self._image.geometry
        table, _ = await image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        index = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
        if table[index * geometry.l2_words] & OFFSET_MASK:
            raise BlockError.from_errno(errno.EIO)
        await image.mark_dirty()
        return await image.refcounts.allocate_bytes(length)

    async def _link_compressed(self, offset: int, host: int, length: int) -> None:
        image, geometry = self._image, self._image.geometry
        await image.event("l2_update_compressed")
        if not image.options.lazy_refcounts:
            await image.l2.depend_on(image.refcounts.cache)
        table, table_offset = await image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        index = ((offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits) * geometry.l2_words
        table[index] = make_descriptor(host, length, geometry)
        if geometry.l2_words == 2:
            table[index + 1] = 0
        image.l2.touch(table_offset, 8 * index, 8 * (index + geometry.l2_words))

    # Finding a place.

    async def place(self, offset: int, length: int) -> tuple[int, int, Allocation | None]:
        """(host offset, byte count, entries to change afterwards) for the first part of a guest range.

        The allocation, when there is one, is in flight: `finish` or `abort` has to follow.
        """
        while True:
            async with self._image.lock:
                usable, other = self.in_flight.usable(offset, length)
                if other is None:
                    return await self._place_locked(offset, usable)
                waiter = self.in_flight.wait(other)
            await waiter

    async def _place_locked(self, offset: int, length: int) -> tuple[int, int, Allocation | None]:
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

    def _is_in_place(self, entry: int) -> bool:
        if not entry & COPIED or entry & COMPRESSED:
            return False
        return cluster_kind(entry, has_data_file=self._image.has_data_file) in _IN_PLACE

    async def _place_in_place(
        self, table: array[int], index: int, clusters: int, offset: int, length: int
    ) -> tuple[int, int, Allocation | None]:
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
            return host + inside, length, None
        allocation = self._begin(table, index, offset, length, host, keep_old=True)
        return host + inside, length, allocation

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

    async def _place_new(
        self, table: array[int], index: int, clusters: int, offset: int, length: int
    ) -> tuple[int, int, Allocation | None]:
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
            await image.mark_dirty()
            host = await image.refcounts.allocate(count * geometry.cluster_size)
            if host == 0:
                await image.corruption("Preventing invalid allocation of data cluster at offset 0", fatal=True)
                raise BlockError.from_errno(errno.EIO)
        allocation = self._begin(table, index, offset, length, host, keep_old=False)
        return host + inside, length, allocation

    def _begin(
        self, table: array[int], index: int, offset: int, length: int, host: int, *, keep_old: bool
    ) -> Allocation:
        """Enter an allocation for a guest range whose first cluster lies at `host`."""
        geometry = self._image.geometry
        inside = offset & geometry.cluster_mask
        start, end = offset - inside, geometry.round_up(offset + length)
        allocation = Allocation(
            offset=start,
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
        self.in_flight.add(allocation)
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
        if self._is_complete(table, index, allocation.data_start) and allocation.keep_old:
            start = allocation.data_start
        if allocation.data_end & geometry.cluster_mask and allocation.keep_old:
            if self._is_complete(table, last, allocation.data_end):
                end = allocation.data_end
        if not allocation.keep_old:
            first_used = self._used_subclusters(table, index)
            if first_used:
                lowest = allocation.offset + ((first_used & -first_used).bit_length() - 1) * size
                start = min(start, lowest)
            last_used = self._used_subclusters(table, last)
            if last_used:
                last_cluster = allocation.offset + (allocation.clusters - 1) * geometry.cluster_size
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

    # Writing the data.

    async def _check_data_write(self, host: int, length: int) -> None:
        image = self._image
        if image.has_data_file:
            return
        section = image.metadata.find(host, length, Section.NONE)
        if section is None:
            return
        async with image.lock:
            await image.corruption(
                f"Preventing invalid write on metadata (overlaps with {SECTION_NAMES[section]})",
                fatal=True,
                offset=host,
                length=length,
            )
        raise BlockError.from_errno(errno.EIO)

    async def _write_in_place(self, offset: int, host: int, data: memoryview) -> None:
        token = self.in_flight.begin_in_place(offset, len(data))
        try:
            await self._check_data_write(host, len(data))
            await self._image.event("write_aio")
            await self._image.data.pwrite(host, data)
        finally:
            self.in_flight.end_in_place(token)

    async def _write_allocated(self, allocation: Allocation, host: int, data: memoryview) -> None:
        """Write data with what has to be copied around it, then change the entries; or give back what was taken."""
        try:
            start, buffer = host, data
            if allocation.has_copies and not await self._zero_place(allocation):
                start, buffer = host - allocation.head[1], await self._with_copies(allocation, data)
            await self._check_data_write(start, len(buffer))
            await self._image.event("write_aio")
            await self._image.data.pwrite(start, buffer)
        except BaseException:
            await self.abort(allocation)
            raise
        await self.finish(allocation)

    async def _zero_place(self, allocation: Allocation) -> bool:
        """Zero a new place without buffers, when what would be copied around the data is long and reads as zeroes."""
        image = self._image
        if allocation.keep_old or allocation.head[1] + allocation.tail[1] < _MIN_ZEROED:
            return False
        async with image.lock:
            if not (await reads_as_zero(image, *allocation.head) and await reads_as_zero(image, *allocation.tail)):
                return False
        length = allocation.clusters * image.geometry.cluster_size
        await self._check_data_write(allocation.host, length)
        await image.event("cluster_alloc_space")
        try:
            await image.data.pwrite_zeroes(allocation.host, length, RequestFlag.NO_FALLBACK)
        except BlockError as error:
            if error.errno not in (errno.ENOTSUP, errno.EAGAIN):
                raise
            return False
        return True

    async def _with_copies(self, allocation: Allocation, data: memoryview) -> memoryview:
        head = await self._copied(*allocation.head)
        tail = await self._copied(*allocation.tail)
        await self._image.event("cow_write")
        return memoryview(b"".join((head, data, tail)))

    async def _copied(self, offset: int, length: int) -> Buffer:
        """What the guest sees in a range now; beyond the end of the disk, zeroes."""
        if not length:
            return b""
        await self._image.event("cow_read")
        readable = max(min(length, self._image.size - offset), 0)
        content: Buffer = await read(self._image, offset, readable) if readable else b""
        return content if readable == length else bytes(content) + bytes(length - readable)

    # Changing the entries.

    async def finish(self, allocation: Allocation) -> None:
        """Change the L2 entries of an allocation whose data is in place."""
        try:
            async with self._image.lock:
                old = await self._link(allocation)
                if not allocation.keep_old and any(old):
                    # What these held leaks if this fails; the write itself is done.
                    with suppress(BlockError):
                        await free_entries(self._image, old, DiscardKind.NEVER)
        except BaseException:
            await self.abort(allocation)
            raise
        self.in_flight.remove(allocation)

    async def link_preallocated(self, allocation: Allocation) -> None:
        """Give unallocated clusters a place without data. Call it under the metadata lock.

        Subclusters stay unallocated: they have a place, and still show the backing.
        """
        await self._link(allocation, set_bitmaps=False)

    async def _link(self, allocation: Allocation, *, set_bitmaps: bool = True) -> array[int]:
        """Change the entries and return the old ones. A failure has changed none."""
        image, geometry = self._image, self._image.geometry
        index = allocation.offset >> geometry.l2_coverage_bits
        if not image.options.lazy_refcounts:
            await image.l2.depend_on(image.refcounts.cache)
        if allocation.has_copies:
            image.l2.depend_on_flush()
        table, table_offset = await image.l1.writable_l2_table(index)
        first = (allocation.offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
        words, count = geometry.l2_words, allocation.clusters
        host, size = allocation.host | COPIED, geometry.cluster_size
        old = table[first * words : (first + count) * words : words]
        table[first * words : (first + count) * words : words] = array("Q", range(host, host + count * size, size))
        if words == 2 and set_bitmaps:
            self._set_bitmaps(table, first, allocation, old)
        image.l2.touch(table_offset, 8 * first * words, 8 * (first + count) * words)
        return old

    def _set_bitmaps(self, table: array[int], first: int, allocation: Allocation, old: array[int]) -> None:
        geometry = self._image.geometry
        start, end = allocation.touched_start - allocation.offset, allocation.touched_end - allocation.offset
        for number in range(allocation.clusters):
            cluster_start = number * geometry.cluster_size
            low = max(start - cluster_start, 0) // geometry.subcluster_size
            high = -(-min(end - cluster_start, geometry.cluster_size) // geometry.subcluster_size)
            bitmap = 0 if old[number] & COMPRESSED else table[2 * (first + number) + 1]
            bitmap = (bitmap | allocated_bits(low, high)) & ~zero_bits(low, high)
            table[2 * (first + number) + 1] = bitmap

    async def abort(self, allocation: Allocation) -> None:
        """The data could not be written: give the clusters back."""
        try:
            if not allocation.keep_old and not self._image.has_data_file and not self._image.is_lost:
                length = allocation.clusters * self._image.geometry.cluster_size
                async with self._image.lock:
                    with suppress(BlockError):
                        await self._image.refcounts.free(allocation.host, length, DiscardKind.NEVER)
        finally:
            self.in_flight.remove(allocation)
