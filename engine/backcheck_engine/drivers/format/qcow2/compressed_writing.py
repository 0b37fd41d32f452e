"""Compressed writes: whole clusters, once each, packed side by side.

Several clusters that follow each other are compressed, placed, written and linked together; what of them cannot be is
left to writing one cluster after the other, which also tells what fails.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.io_threads import run_in_thread, start_in_thread
from backcheck_engine.block.request import Buffer
from backcheck_engine.drivers.format.qcow2.compression import compress, compress_all, filled_up, make_descriptor
from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.tables import OFFSET_MASK
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.writing import Writer

_BYTES_FOR_A_THREAD: Final = 512 * 1024
"""How much a thread compresses before it is another's turn."""
_CLUSTERS_IN_FLIGHT: Final = 8
"""How many clusters of one request QEMU compresses at a time."""


class CompressedWriter:
    """Compressed writes to one image; what does not get smaller goes through the ordinary writer."""

    def __init__(self, image: Image, writer: Writer) -> None:
        self._image = image
        self._writer = writer

    async def write(self, offset: int, data: Buffer) -> None:
        """Write whole clusters (the last one up to the disk's end) in compressed form; empty data ends them all.

        Raises EIO for a cluster that is allocated already, as QEMU does; the clusters that QEMU has in flight with the
        first one that fails are written all the same.
        """
        image, size = self._image, self._image.geometry.cluster_size
        if image.has_data_file:
            raise BlockError.from_errno(errno.ENOTSUP)
        view = memoryview(data)
        if not self._is_whole(offset, len(view)):
            raise BlockError.from_errno(errno.EINVAL)
        done, failure = 0, None
        while rest := view[done:]:
            together = await self.write_together(offset + done, rest) if len(rest) > size else 0
            if not together:
                try:
                    await self._write_cluster(offset + done, rest[:size])
                except BlockError as error:
                    if failure is None:
                        failure, view = error, view[: done + (1 + _CLUSTERS_IN_FLIGHT) * size]
            done += together or size
        if failure is not None:
            raise failure

    async def write_together(self, offset: int, data: Buffer) -> int:
        """Write as many of the first clusters of `data` as can be written together; how many bytes that was.

        Less than all also when that failed.
        """
        image, size, view = self._image, self._image.geometry.cluster_size, memoryview(data)
        if image.file.wants_debug_events or image.has_data_file or not image.refcounts.compressed.has_rows:
            return 0
        if not self._is_whole(offset, len(view)):
            return 0
        done = 0
        with suppress(BlockError):
            for is_plain, group in groupby(await self._compress(view), lambda packed: packed is None):
                pieces = [packed or b"" for packed in group]
                end = min(done + len(pieces) * size, len(view))
                if is_plain:
                    await self._writer.write(offset + done, view[done:end])
                while pieces and not is_plain:
                    count = await self._write_packed(offset + done, pieces)
                    if not count:
                        return done
                    done, pieces = done + count * size, pieces[count:]
                done = end
        return done

    def _is_whole(self, offset: int, length: int) -> bool:
        """Whether a range is whole clusters, the last one up to the disk's end."""
        mask = self._image.geometry.cluster_mask
        return not offset & mask and (not length & mask or offset + length == self._image.size)

    async def _compress(self, view: memoryview) -> list[bytes | None]:
        """The compressed form of each cluster, where that is smaller; threads share the work."""
        kind, size = self._image.header.compression_type, self._image.geometry.cluster_size
        step = max(size, _BYTES_FOR_A_THREAD)
        parts = [start_in_thread(compress_all, kind, view[at : at + step], size) for at in range(0, len(view), step)]
        return [packed for part in await asyncio.gather(*parts) for packed in part]

    # Several clusters together.

    async def _write_packed(self, offset: int, pieces: Sequence[bytes]) -> int:
        """Write some of the first clusters, compressed, in one piece; how many: 0 when the first has a place already.

        A failure (BlockError) leaves a cluster either written or as it was.
        """
        image, size = self._image, self._image.geometry.cluster_size
        await self._writer.settle(offset, len(pieces) * size)
        try:
            pieces = pieces[: await self._count_free(offset, len(pieces))]
            if not pieces:
                return 0
            await image.mark_dirty()
            places = await image.refcounts.compressed.take_row([len(piece) for piece in pieces])
            pieces = pieces[: len(places)]
            allocation = self._allocation(offset, len(pieces), places[0])
            self._writer.in_flight.add(allocation)
        finally:
            image.lock.release()
        linked = 0
        try:
            packed = b"".join(pieces)
            await self._writer.check_data_write(places[0], len(packed))
            await image.file.pwrite(places[0], packed)
            async with image.lock:
                while linked < len(pieces):
                    linked += await self._link(offset + linked * size, places[linked:], pieces[linked:])
        except BaseException:
            async with image.lock:
                for place, piece in list(zip(places, pieces, strict=True))[linked:]:
                    await self._give_back(place, len(piece))
            raise
        finally:
            self._writer.in_flight.remove(allocation)
        return len(pieces)

    async def _count_free(self, offset: int, count: int) -> int:
        """How many of the first `count` clusters from `offset` on have no place. Call it under the metadata lock."""
        image, geometry = self._image, self._image.geometry
        found = 0
        while found < count:
            first = (offset >> geometry.cluster_bits) + found
            table, _ = await image.l1.writable_l2_table((first << geometry.cluster_bits) >> geometry.l2_coverage_bits)
            index = first & (geometry.l2_coverage // geometry.cluster_size - 1)
            words = geometry.l2_words
            entries = table[index * words : (index + count - found) * words : words]
            taken = next((number for number, entry in enumerate(entries) if entry & OFFSET_MASK), len(entries))
            found += taken
            if taken < len(entries):
                break
        return found

    async def _give_back(self, host: int, length: int) -> None:
        if self._image.is_lost:
            return
        with suppress(BlockError):
            await self._image.refcounts.free(host, length, DiscardKind.NEVER)

    def _allocation(self, offset: int, clusters: int, host: int) -> Allocation:
        """Compressed clusters that are about to be written, for others to wait for."""
        end = offset + clusters * self._image.geometry.cluster_size
        return Allocation(
            offset=offset, end=end, clusters=clusters, host=host, keep_old=True, data_start=offset, data_end=end
        )

    # One cluster.

    async def _write_cluster(self, offset: int, data: memoryview) -> None:
        image, size = self._image, self._image.geometry.cluster_size
        packed = await run_in_thread(compress, image.header.compression_type, filled_up(data, size))
        if packed is None:
            await self._writer.write(offset, data)
            return
        await self._writer.settle(offset, size)
        try:
            host = await self._take(offset, len(packed))
            allocation = self._allocation(offset, 1, host)
            self._writer.in_flight.add(allocation)
        finally:
            image.lock.release()
        linked = False
        try:
            await self._writer.check_data_write(host, len(packed))
            await image.event("write_compressed")
            try:
                await image.file.pwrite(host, packed)
            finally:  # a write that fails has used up the cluster, too
                async with image.lock:
                    await image.event("l2_update_compressed")
                    await self._link(offset, [host], [packed])
                linked = True
        except BaseException:
            if not linked:
                async with image.lock:
                    await self._give_back(host, len(packed))
            raise
        finally:
            self._writer.in_flight.remove(allocation)

    async def _take(self, offset: int, length: int) -> int:
        """A place for compressed data of a cluster that has none yet."""
        if not await self._count_free(offset, 1):
            raise BlockError.from_errno(errno.EIO)
        await self._image.mark_dirty()
        return await self._image.refcounts.compressed.take(length)

    # Any number.

    async def _link(self, offset: int, places: Sequence[int], pieces: Sequence[bytes]) -> int:
        """Make the entries from `offset` on refer to what was written, in one L2 table; how many that were."""
        image, geometry = self._image, self._image.geometry
        if not image.options.lazy_refcounts:
            await image.l2.depend_on(image.refcounts.cache)
        table, table_offset = await image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        within = offset & (geometry.l2_coverage - 1)
        count = min(len(places), (geometry.l2_coverage - within) >> geometry.cluster_bits)
        words = geometry.l2_words
        first = (within >> geometry.cluster_bits) * words
        for number in range(count):
            at = first + number * words
            table[at] = make_descriptor(places[number], len(pieces[number]), geometry)
            if words == 2:
                table[at + 1] = 0
        image.l2.touch(table_offset, 8 * first, 8 * (first + count * words))
        return count
