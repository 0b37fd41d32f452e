"""Writes: the data goes to its place with what has to be copied around it, then the L2 entries change.

Rules of this file: the metadata lock is held while places are found and entries changed, never while data is written;
an L2 entry changes only when the data it refers to is in the file; a write that fails gives back what it took.
"""

from __future__ import annotations

import errno
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.drivers.format.qcow2.extended_l2 import allocated_bits, zero_bits
from backcheck_engine.drivers.format.qcow2.freeing import free_entries
from backcheck_engine.drivers.format.qcow2.in_flight import Allocation, InFlight
from backcheck_engine.drivers.format.qcow2.offloading import OffloadedWriter
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.overlap import SECTION_NAMES, Section
from backcheck_engine.drivers.format.qcow2.placing import Placer
from backcheck_engine.drivers.format.qcow2.reading import read
from backcheck_engine.drivers.format.qcow2.scattered_writing import ScatteredWriter
from backcheck_engine.drivers.format.qcow2.status import reads_as_zero
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED, COPIED
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image

_MIN_ZEROED = 128 * 1024
"""From this size on, zeroing a place is cheaper than writing zeroes around the data."""


class Writer:
    """Guest writes to one image."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.in_flight = InFlight()
        self._placer = Placer(image, self.in_flight)
        self.scattered = ScatteredWriter(image, self, self._placer)
        self.offloaded = OffloadedWriter(image, self, self._placer)

    async def write(self, offset: int, data: Buffer) -> None:
        """Write `data` at a guest offset, piece by piece."""
        view = memoryview(data)
        done, length = 0, len(view)
        while done < length:
            host, count, allocation = await self._placer.place(offset + done, length - done)
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

    # Writing the data.

    async def check_data_write(self, host: int, length: int) -> None:
        """Refuse to write data over metadata, and give the image up when that was about to happen."""
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
            await self.check_data_write(host, len(data))
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
            await self.check_data_write(start, len(buffer))
            await self._image.event("write_aio")
            await self._image.data.pwrite(start, buffer)
        except BaseException:
            await self.abort(allocation)
            raise
        await self.finish(allocation)

    async def _zero_place(self, allocation: Allocation) -> bool:
        """Where what would be copied around the data reads as zeroes, zero a new place without buffers if that pays."""
        image = self._image
        if allocation.keep_old:
            return False
        async with image.lock:
            if not (await reads_as_zero(image, *allocation.head) and await reads_as_zero(image, *allocation.tail)):
                return False
        await image.event("cluster_alloc_space")
        if allocation.head[1] + allocation.tail[1] < _MIN_ZEROED:
            return False
        length = allocation.clusters * image.geometry.cluster_size
        await self.check_data_write(allocation.host, length)
        try:
            await image.data.pwrite_zeroes(allocation.host, length, RequestFlag.NO_FALLBACK)
        except BlockError as error:
            if error.errno not in (errno.ENOTSUP, errno.EAGAIN):
                raise
            return False
        return True

    async def _with_copies(self, allocation: Allocation, data: memoryview) -> memoryview:
        head = await self.content_around(*allocation.head)
        tail = await self.content_around(*allocation.tail)
        await self._image.event("cow_write")
        return memoryview(b"".join((head, data, tail)))

    async def content_around(self, offset: int, length: int) -> Buffer:
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
