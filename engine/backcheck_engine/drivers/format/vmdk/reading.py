"""Reading a disk, and telling what is where."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.io_threads import run_in_thread
from backcheck_engine.block.request import BlockStatus, Buffer
from backcheck_engine.drivers.format.vmdk.extent import Kind, SparseExtent
from backcheck_engine.drivers.format.vmdk.packing import BadGrain, unpack
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.vmdk.extent import Extent, Span
    from backcheck_engine.drivers.format.vmdk.image import Image

_SPANS_AT_ONCE: Final = 16
"""How many parts of one request are read side by side: threads share the work of inflating."""
_SPANS_TOGETHER: Final = 64
"""How many grain tables one answer about the status looks at."""


async def read(image: Image, offset: int, length: int) -> Buffer:
    """The disk's content. Raises BlockError."""
    extent = image.extent_at(offset)
    span = await extent.locate(offset - extent.start, length)
    if span.length == length:
        return await _read_span(image, extent, span, offset)
    content = bytearray(length)
    view, done = memoryview(content), 0
    while done < length:
        places = await _locate(image, offset + done, length - done)
        reading = []
        for extent, span in places:
            if span.kind is not Kind.ZEROED:
                reading.append(_read_into(view[done : done + span.length], image, extent, span, offset + done))
            done += span.length
        await _finish(reading)
    return content


async def _locate(image: Image, offset: int, length: int) -> list[tuple[Extent, Span]]:
    """The first parts of a range, as many as are read side by side. Raises BlockError."""
    places: list[tuple[Extent, Span]] = []
    while length and len(places) < _SPANS_AT_ONCE:
        extent = image.extent_at(offset)
        span = await extent.locate(offset - extent.start, length)
        places.append((extent, span))
        offset, length = offset + span.length, length - span.length
    return places


async def _read_into(part: memoryview, image: Image, extent: Extent, span: Span, offset: int) -> None:
    part[:] = await _read_span(image, extent, span, offset)


async def _finish(reading: list[Coroutine[None, None, None]]) -> None:
    """Wait for all of them; the first failure is raised when none is under way any more."""
    results = await asyncio.gather(*reading, return_exceptions=True)
    for result in results:
        if result is not None:
            raise result


async def _read_span(image: Image, extent: Extent, span: Span, offset: int) -> Buffer:
    file = extent.file
    if span.kind is Kind.DATA:
        if file.wants_debug_events:
            await file.debug_event("read_aio")
        return await file.pread(span.host_offset, span.length)
    if span.kind is Kind.PACKED:
        return await _read_packed(extent, span, offset - extent.start)
    backing = image.node.overlaid
    if span.kind is Kind.ZEROED or backing is None:
        return bytes(span.length)
    await image.check_parent()
    return await backing.pread(offset, span.length)


async def _read_packed(extent: Extent, span: Span, offset: int) -> Buffer:
    """A part of one compressed grain; EINVAL for what is none."""
    assert isinstance(extent, SparseExtent)
    file, size = extent.file, extent.grain_size
    if file.wants_debug_events:
        await file.debug_event("read_compressed")
    found = await file.pread(span.host_offset, 2 * size)
    within = offset % size
    try:
        content = await run_in_thread(_unpack, found, size, extent.has_markers)
    except BadGrain as error:
        raise BlockError.from_errno(errno.EINVAL) from error
    if within + span.length > len(content):
        raise BlockError.from_errno(errno.EINVAL)
    return memoryview(content)[within : within + span.length]


def _unpack(found: Buffer, grain_size: int, has_marker: bool) -> bytes:
    return unpack(found, grain_size, has_marker=has_marker)


async def block_status(image: Image, offset: int, length: int) -> BlockStatus:
    """What is at `offset`: as much as is of one kind, and in one piece of one file. Raises BlockError."""
    extent = image.extent_at(offset)
    span = await extent.locate(offset - extent.start, length)
    total = span.length
    for _ in range(_SPANS_TOGETHER):
        at = offset + total - extent.start
        if total >= length or at >= extent.size:
            break
        following = await extent.locate(at, length - total)
        if not _continues(span, following, total):
            break
        total += following.length
    return BlockStatus(
        length=total,
        data=span.kind in (Kind.DATA, Kind.PACKED),
        zero=span.kind is Kind.ZEROED,
        compressed=span.kind is Kind.PACKED,
        host_offset=span.host_offset if span.kind is Kind.DATA else None,
        file=extent.file if span.kind in (Kind.DATA, Kind.PACKED) else None,
        recurse=not extent.grain_size,
    )


def _continues(span: Span, following: Span, distance: int) -> bool:
    if following.kind is not span.kind:
        return False
    return span.kind is not Kind.DATA or following.host_offset == span.host_offset + distance
