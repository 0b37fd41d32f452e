"""Compressed writes: whole clusters, once each, packed side by side."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from backcheck_engine.block.io_threads import run_in_thread
from backcheck_engine.block.request import Buffer
from backcheck_engine.drivers.format.qcow2.compression import compress, make_descriptor
from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.tables import OFFSET_MASK
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.writing import Writer


class CompressedWriter:
    """Compressed writes to one image; what does not get smaller goes through the ordinary writer."""

    def __init__(self, image: Image, writer: Writer) -> None:
        self._image = image
        self._writer = writer

    async def write(self, offset: int, data: Buffer) -> None:
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
            await self._write_cluster(offset + at, view[at : at + geometry.cluster_size])

    async def _write_cluster(self, offset: int, data: memoryview) -> None:
        image, size = self._image, self._image.geometry.cluster_size
        plain: Buffer = data if len(data) == size else bytes(data) + bytes(size - len(data))
        packed = await run_in_thread(compress, image.header.compression_type, plain)
        if packed is None:
            await self._writer.write(offset, data)
            return
        await self._writer.settle(offset, size)
        try:
            host = await self._take(offset, len(packed))
            allocation = Allocation(
                offset=offset,
                end=offset + size,
                clusters=1,
                host=host,
                keep_old=True,
                data_start=offset,
                data_end=offset + size,
            )
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
                    await self._link(offset, host, len(packed))
                linked = True
        except BaseException:
            if not linked:
                async with image.lock:
                    with suppress(BlockError):
                        await image.refcounts.free(host, len(packed), DiscardKind.NEVER)
            raise
        finally:
            self._writer.in_flight.remove(allocation)

    async def _take(self, offset: int, length: int) -> int:
        """A place for compressed data of a cluster that has none yet."""
        image, geometry = self._image, self._image.geometry
        table, _ = await image.l1.writable_l2_table(offset >> geometry.l2_coverage_bits)
        index = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
        if table[index * geometry.l2_words] & OFFSET_MASK:
            raise BlockError.from_errno(errno.EIO)
        await image.mark_dirty()
        return await image.refcounts.allocate_bytes(length)

    async def _link(self, offset: int, host: int, length: int) -> None:
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
