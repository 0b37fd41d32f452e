"""Reads of compressed clusters: several that follow each other are read and decompressed together."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.io_threads import run_in_thread, start_in_thread
from backcheck_engine.block.request import Buffer
from backcheck_engine.drivers.format.qcow2.compression import (
    CompressionError,
    decompress,
    decompress_all,
    descriptor_range,
)
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.mapping import Extent

_BYTES_TOGETHER: Final = 2 * 1024 * 1024
"""How much is decompressed together at most."""
_BYTES_FOR_A_THREAD: Final = 1024 * 1024
_MOST_ALIKE: Final = 256
"""How many clusters a question about their status looks at."""


async def alike_length(image: Image, offset: int, length: int) -> int:
    """How much of `length` is in compressed clusters, the first of which `offset` is in. Call it under the lock."""
    geometry = image.geometry
    inside = offset & geometry.cluster_mask
    count = min(geometry.clusters(inside + length), _MOST_ALIKE)
    entries = await _compressed_entries(image, offset, count)
    return min(length, (len(entries) << geometry.cluster_bits) - inside)


async def compressed_run(image: Image, offset: int, length: int) -> list[int]:
    """The L2 entries of the compressed clusters from `offset` on that a request wants whole and can have together."""
    geometry = image.geometry
    count = min(length, _BYTES_TOGETHER) >> geometry.cluster_bits
    if offset & geometry.cluster_mask or count < 2 or image.file.wants_debug_events or image.has_data_file:
        return []
    async with image.lock:
        return await _compressed_entries(image, offset, count)


async def _compressed_entries(image: Image, offset: int, count: int) -> list[int]:
    """The L2 entries of at most `count` clusters from that of `offset` on: compressed ones of one L2 table."""
    geometry = image.geometry
    table = await image.l1.l2_table(offset >> geometry.l2_coverage_bits)
    if table is None:
        return []
    words = geometry.l2_words
    first = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
    entries = table[first * words : (first + count) * words : words]
    return list(takewhile(lambda entry: entry & COMPRESSED, entries))


async def read_run(image: Image, entries: Sequence[int]) -> bytes:
    """The clusters that these entries describe, one after the other."""
    geometry = image.geometry
    ranges = [descriptor_range(entry, geometry) for entry in entries]
    start, end = min(offset for offset, _ in ranges), max(sum(place) for place in ranges)
    if end - start <= 2 * sum(length for _, length in ranges):
        view = memoryview(await image.file.pread(start, end - start))
        pieces = [view[offset - start : offset - start + length] for offset, length in ranges]
    else:
        pieces = [memoryview(await image.file.pread(*place)) for place in ranges]
    step = max(_BYTES_FOR_A_THREAD >> geometry.cluster_bits, 1)
    kind, size = image.header.compression_type, geometry.cluster_size
    parts = [start_in_thread(decompress_all, kind, pieces[at : at + step], size) for at in range(0, len(pieces), step)]
    plain = await asyncio.gather(*parts, return_exceptions=True)
    failure = next((part for part in plain if isinstance(part, BaseException)), None)
    if isinstance(failure, CompressionError):
        raise BlockError.from_errno(errno.EIO) from failure
    if failure is not None:
        raise failure
    done = [part for part in plain if isinstance(part, bytes)]
    return done[0] if len(done) == 1 else b"".join(done)


async def read_compressed(image: Image, offset: int, extent: Extent) -> Buffer:
    """A part of one compressed cluster."""
    geometry = image.geometry
    host, packed_length = descriptor_range(extent.host, geometry)
    await image.event("read_compressed")
    packed = await image.file.pread(host, packed_length)
    try:
        plain = await run_in_thread(decompress, image.header.compression_type, packed, geometry.cluster_size)
    except CompressionError as error:
        raise BlockError.from_errno(errno.EIO) from error
    inside = offset & geometry.cluster_mask
    return memoryview(plain)[inside : inside + extent.length]
