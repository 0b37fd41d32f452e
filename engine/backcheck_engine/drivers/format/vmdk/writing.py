"""Writing: in place where there is a place, else into new grains at the end of the extent's file.

A grain is written whole before its table names it. Compressed grains are written whole and once.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.io_threads import start_in_thread
from backcheck_engine.block.request import SECTOR_SIZE, Buffer
from backcheck_engine.complaints import complain
from backcheck_engine.drivers.format.vmdk.extent import ZEROED_ENTRY, Kind, SparseExtent
from backcheck_engine.drivers.format.vmdk.header import pack_directory_place
from backcheck_engine.drivers.format.vmdk.packing import pack_all
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.vmdk.extent import Extent, Span
    from backcheck_engine.drivers.format.vmdk.image import Image

_END_OF_GRAINS: Final = (2**32 - 1) * SECTOR_SIZE
"""Tables cannot name what lies beyond."""
_COPY_BYTES: Final = 1024 * 1024
_BYTES_FOR_A_THREAD: Final = 256 * 1024
"""How much a thread compresses before it is another's turn."""


class Writer:
    """Writes to one image."""

    def __init__(self, image: Image) -> None:
        self._image = image

    async def write(self, offset: int, data: Buffer) -> None:
        """Write `data` to the disk. Raises BlockError."""
        view = memoryview(data)
        while len(view):
            done = await self._write_part(offset, view)
            view, offset = view[done:], offset + done

    async def write_together(self, offset: int, data: Buffer) -> int:
        """Write as much of the front of `data` as can be written, telling nobody what cannot; how much that was."""
        view, done = memoryview(data), 0
        with suppress(BlockError):
            while done < len(view):
                extent = self._image.extent_at(offset + done)
                span = await extent.locate(offset + done - extent.start, len(view) - done)
                if span.kind is Kind.PACKED:
                    break
                done += await self._write_part(offset + done, view[done:])
        return done

    async def _write_part(self, offset: int, view: memoryview) -> int:
        """Write the front of `view`, as much as lies together; how much that was. Raises BlockError."""
        extent = self._image.extent_at(offset)
        write = self._write_packed if extent.is_packed else self._write_plain
        done = await write(extent, offset - extent.start, view[: extent.end - offset])
        await self._image.renew_cid()
        return done

    async def write_zeroes(self, offset: int, length: int) -> None:
        """Make whole grains zeroed ones. Raises ENOTSUP, having changed nothing, where there are no such grains."""
        end = offset + length
        async with self._image.lock:
            for extent, at, span in await self._spans_to_zero(offset, end):
                if span.kind is not Kind.ZEROED:
                    await self._set_entries(extent, at, [ZEROED_ENTRY] * (span.length // extent.grain_size))
        await self._image.renew_cid()

    async def _spans_to_zero(self, offset: int, end: int) -> list[tuple[SparseExtent, int, Span]]:
        spans: list[tuple[SparseExtent, int, Span]] = []
        while offset < end:
            extent = self._image.extent_at(offset)
            if not isinstance(extent, SparseExtent) or not extent.has_zeroed_grains:
                raise BlockError.from_errno(errno.ENOTSUP)
            at = offset - extent.start
            span = await extent.locate(at, end - offset)
            if span.kind is Kind.PACKED:
                raise _written_before()
            if at % extent.grain_size or span.length % extent.grain_size:
                raise BlockError.from_errno(errno.ENOTSUP)
            await self._check_table(extent, at)
            spans.append((extent, at, span))
            offset += span.length
        return spans

    # Grains as they are.

    async def _write_plain(self, extent: Extent, offset: int, view: memoryview) -> int:
        """Write the front of `view`, as much as lies together; how much that was."""
        span = await extent.locate(offset, len(view))
        if span.kind is not Kind.DATA:
            async with self._image.lock:
                # Somebody may have allocated it meanwhile.
                span = await extent.locate(offset, len(view))
                if span.kind is not Kind.DATA:
                    assert isinstance(extent, SparseExtent)
                    await self._allocate(extent, offset, view[: span.length], span.kind)
                    return span.length
        if extent.file.wants_debug_events:
            await extent.file.debug_event("write_aio")
        await extent.file.pwrite(span.host_offset, view[: span.length])
        return span.length

    async def _allocate(self, extent: SparseExtent, offset: int, view: memoryview, kind: Kind) -> None:
        """Write what goes into grains of one table that have no place yet, all of that kind."""
        size, file = extent.grain_size, extent.file
        start, end = offset // size * size, -(-(offset + len(view)) // size) * size
        await self._check_table(extent, offset)
        if kind is Kind.HOLE:
            await self._image.check_parent()
        async with self._place(extent, end - start) as host:
            await self._fill(extent, host, start, offset - start, kind)
            if file.wants_debug_events:
                await file.debug_event("write_aio")
            await file.pwrite(host + offset - start, view)
            done = offset + len(view) - start
            await self._fill(extent, host + done, start + done, end - start - done, kind)
        grains = range(host // SECTOR_SIZE, (host + end - start) // SECTOR_SIZE, size // SECTOR_SIZE)
        await self._set_entries(extent, start, list(grains))

    @asynccontextmanager
    async def _place(self, extent: SparseExtent, length: int) -> AsyncIterator[int]:
        """Room for that much at the end of the extent's file, to be filled inside: what fails takes none.

        The tables change outside: whatever happens there, one of them may name the place. Raises EINVAL where they
        cannot.
        """
        host = extent.next_grain
        if host + length > _END_OF_GRAINS:
            raise BlockError.from_errno(errno.EINVAL)
        if extent.footer_counts:
            # What is written now comes after the footer, so that the header has to say where the directory is.
            await extent.file.pwrite(*pack_directory_place(extent.header.directory_offset))
            extent.footer_counts = False
        yield host
        extent.next_grain = host + length

    async def _fill(self, extent: SparseExtent, host: int, offset: int, length: int, kind: Kind) -> None:
        """Write what a new grain has around the data that it is made for."""
        backing = self._image.node.overlaid
        if not length:
            return
        if kind is Kind.ZEROED or backing is None:
            await extent.file.pwrite_zeroes(host, length)
            return
        for at in range(0, length, _COPY_BYTES):
            piece = min(_COPY_BYTES, length - at)
            await extent.file.pwrite(host + at, await backing.pread(extent.start + offset + at, piece))

    async def _check_table(self, extent: SparseExtent, offset: int) -> None:
        """Raise EINVAL where no table could name a grain; QEMU writes it over the header."""
        if await extent.tables.table(offset // extent.header.table_coverage) is None:
            raise BlockError.from_errno(errno.EINVAL)

    async def _set_entries(self, extent: SparseExtent, offset: int, sectors: list[int]) -> None:
        index, within = divmod(offset, extent.header.table_coverage)
        await extent.tables.set_entries(index, within // extent.grain_size, sectors)

    # Compressed grains.

    async def _write_packed(self, extent: Extent, offset: int, view: memoryview) -> int:
        """Write the first grains of `view` that have no place, as many as lie together; how many bytes that was."""
        assert isinstance(extent, SparseExtent)
        size = extent.grain_size
        view = view[: await self._count_free(extent, offset, len(view))]
        if offset + len(view) < extent.size:
            view = view[: len(view) // size * size]
        if offset % size or not len(view) or not extent.has_markers:
            raise BlockError.from_errno(errno.EINVAL)
        await self._check_table(extent, offset)
        grains = await _pack(extent.start + offset, view, size)
        async with self._image.lock:
            # Somebody may have written there meanwhile.
            view = view[: await self._count_free(extent, offset, len(view))]
            del grains[-(-len(view) // size) :]
            async with self._place(extent, sum(map(len, grains))) as host:
                if extent.file.wants_debug_events:
                    await extent.file.debug_event("write_compressed")
                await extent.file.pwrite(host, b"".join(grains))
            ends = accumulate(map(len, grains), initial=host)
            await self._set_entries(extent, offset, [place // SECTOR_SIZE for place in ends][:-1])
        return len(view)

    async def _count_free(self, extent: SparseExtent, offset: int, length: int) -> int:
        """How many of those bytes are in grains without a place, before one that has. Raises EIO for none."""
        span = await extent.locate(offset, length)
        if span.kind is Kind.PACKED:
            raise _written_before()
        return span.length


async def _pack(offset: int, view: memoryview, grain_size: int) -> list[bytes]:
    """The compressed grains that `view` fills; threads share the work."""
    step = max(grain_size, _BYTES_FOR_A_THREAD // grain_size * grain_size)
    starts = range(0, len(view), step)
    parts = [start_in_thread(pack_all, offset + at, view[at : at + step], grain_size) for at in starts]
    return [grain for part in await asyncio.gather(*parts) for grain in part]


def _written_before() -> BlockError:
    """The error of a second write to a compressed grain."""
    complain("Could not write to allocated cluster for streamOptimized")
    return BlockError.from_errno(errno.EIO)
