"""Changing the size of the disk: growing with and without preallocation, and shrinking."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.complaints import complain
from backcheck_engine.drivers.format.qcow2.bitmaps import check_resize
from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
from backcheck_engine.drivers.format.qcow2.mapping import lookup
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.tables import OFFSET_MASK, ClusterKind
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.writing import Writer
    from backcheck_engine.drivers.format.qcow2.zeroing import Zeroer

PREALLOCATIONS = ("off", "metadata", "falloc", "full")


class Resizer:
    """Changes one image's size."""

    def __init__(self, image: Image, writer: Writer, zeroer: Zeroer) -> None:
        self._image = image
        self._writer = writer
        self._zeroer = zeroer

    async def resize(self, size: int, *, exact: bool, preallocation: str, zero: bool) -> None:
        """Change the size; raises BlockError in QEMU's words."""
        image = self._image
        if preallocation not in PREALLOCATIONS:
            raise BlockError(f"Unsupported preallocation mode '{preallocation}'", errno.ENOTSUP)
        if size % SECTOR_SIZE:
            raise BlockError(f"The new size must be a multiple of {SECTOR_SIZE}", errno.EINVAL)
        if image.snapshots and image.header.version < 3:
            raise BlockError("Can't resize a v2 image which has snapshots", errno.ENOTSUP)
        check_resize(image)
        if size < image.size and preallocation != "off":
            raise BlockError("Preallocation can't be used for shrinking an image", errno.EINVAL)
        await self._writer.settle(0, max(size, image.size))
        old = image.size
        try:
            if size < old:
                await self._shrink(size, exact)
            else:
                await self._grow(size, exact, preallocation, zero)
            await image.flush_caches()
            await image.set_size(size)
        except BaseException:
            image.size = old
            raise
        finally:
            image.lock.release()

    # Growing.

    async def _grow(self, size: int, exact: bool, preallocation: str, zero: bool) -> None:
        image, geometry = self._image, self._image.geometry
        old = image.size
        try:
            await image.l1.grow(geometry.l1_entries(size), exact=True)
        except BlockError as error:
            raise BlockError(f"Failed to grow the L1 table: {error.message}", error.errno) from error
        if preallocation == "off" and image.data_file_is_raw and release.current() >= release.QEMU_7_2:
            preallocation = "metadata"
        if image.has_data_file and preallocation != "metadata":
            await image.data.truncate(size, exact=exact and preallocation == "off", preallocation=preallocation)
        if preallocation != "off":
            await self._preallocate(old, size, preallocation)
        if zero and old < size:
            await self._zero_new_part(old, size)

    async def _zero_new_part(self, old: int, size: int) -> None:
        """Let nothing of a longer backing file show in what is added."""
        image, geometry = self._image, self._image.geometry
        image.size = size
        start = -(-old // geometry.subcluster_size) * geometry.subcluster_size
        start = min(start, size)
        if start < size:
            await self._zeroer.zero_entries(start, size - start, may_unmap=False)
        if start > old:
            await self._write_zeroes(old, start)

    async def _write_zeroes(self, start: int, end: int) -> None:
        """Write zeroes as a guest would; the lock is free meanwhile, and the disk's end keeps others away."""
        self._image.lock.release()
        try:
            await self._writer.write(start, bytes(end - start))
        finally:
            await self._image.lock.acquire()

    async def _preallocate(self, old: int, size: int, preallocation: str) -> None:
        """Give every new cluster its place, and the file room for it."""
        image, geometry = self._image, self._image.geometry
        image.size = size
        at = geometry.round_up(old)
        if old < min(at, size):
            end = min(at, size)
            if (await lookup(image, old, 1)).kind is not ClusterKind.NORMAL:
                # The cluster in which the disk ended gets its place with its content.
                await self._write_zeroes(old, end)
                end = geometry.round_up_to_subcluster(end)
            await self._make_room_in_data_file(end)
        for start in range(at, size, geometry.l2_coverage):
            await image.l1.writable_l2_table(start >> geometry.l2_coverage_bits)
        if size > at:
            await image.l1.writable_l2_table((size - 1) >> geometry.l2_coverage_bits)
        while at < size:
            at = await self._preallocate_piece(at, size, preallocation)

    async def _preallocate_piece(self, at: int, size: int, preallocation: str) -> int:
        """Give the clusters from `at` on, within one L2 table, their place; where they end."""
        image, geometry = self._image, self._image.geometry
        end = min(size, (at // geometry.l2_coverage + 1) * geometry.l2_coverage)
        clusters = geometry.clusters(end - at)
        await image.mark_dirty()
        host = at
        if image.has_data_file:
            await self._make_room_in_data_file(geometry.round_up_to_subcluster(end))
        else:
            host = await image.refcounts.allocate(clusters * geometry.cluster_size, beyond_file=True)
            # The place is in the file before an entry refers to it, and reads as zeroes.
            host_end = host + geometry.round_up_to_subcluster(end - at)
            mode = "off" if preallocation == "metadata" else preallocation
            await image.file.truncate(host_end, exact=False, preallocation=mode)
        allocation = Allocation(
            offset=at,
            end=geometry.round_up(end),
            clusters=clusters,
            host=host,
            keep_old=False,
            data_start=at,
            data_end=end,
        )
        await self._writer.link_preallocated(allocation)
        return end

    async def _make_room_in_data_file(self, end: int) -> None:
        """Have an external data file, if there is one, reach as far as what has a place in it."""
        if self._image.has_data_file and self._image.data.size < end:
            await self._image.data.truncate(end, exact=False)

    # Shrinking.

    async def _shrink(self, size: int, exact: bool) -> None:
        image, geometry = self._image, self._image.geometry
        cut = geometry.round_up(size)
        end = geometry.round_up(image.size)
        if cut < end:
            await self._zeroer.discard_entries(cut, end - cut, DiscardKind.ALWAYS, full=True)
        await self._shrink_l1(geometry.l1_entries(size))
        if image.has_data_file:
            await image.data.truncate(size, exact=exact)
        await image.flush_caches()
        await self._cut_file()

    async def _shrink_l1(self, entries: int) -> None:
        """Drop the L2 tables of L1 entries beyond `entries`. The L1 table keeps its length."""
        image = self._image
        tables = [entry for entry in image.l1.entries[entries:] if entry & OFFSET_MASK]
        if not tables:
            return
        await image.event("l1_shrink_write_table")
        for index in range(entries, len(image.l1.entries)):
            if image.l1.entries[index]:
                image.l1.set(index, 0)
        await image.write_caches()
        await image.flush_file()
        await image.event("l1_shrink_free_l2_clusters")
        for entry in tables:
            await image.refcounts.free(entry & OFFSET_MASK, image.geometry.cluster_size, DiscardKind.ALWAYS)
        await image.refcounts.pass_discards()

    async def _cut_file(self) -> None:
        """Give back the file's unused end. A failure costs only room."""
        image, geometry = self._image, self._image.geometry
        await image.refcounts.drop_empty_blocks()
        await image.flush_caches()
        used = (await image.refcounts.last_used() + 1) * geometry.cluster_size
        if 0 < used < image.file.size:
            try:
                await image.file.truncate(used, exact=False)
            except BlockError as error:
                complain(f"warning: Failed to truncate the tail of the image: {error.message}")
