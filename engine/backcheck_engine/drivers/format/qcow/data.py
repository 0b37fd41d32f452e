"""Guest data: reads and writes of extents, plain and compressed."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.io_threads import run_in_thread
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.qcow.image import ClusterKind
from backcheck_engine.drivers.format.qcow2.compression import CompressionError, compress, decompress
from backcheck_engine.drivers.format.qcow2.header import CompressionType
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backcheck_engine.block.request import Buffer
    from backcheck_engine.drivers.format.qcow.image import Extent, Image

_TOGETHER: Final = 1024 * 1024
"""How many bytes of the guest are decompressed, or get a new place, in one go."""


async def read(image: Image, offset: int, length: int) -> Buffer:
    """Exactly `length` bytes of what the guest sees at `offset`."""
    result, done = bytearray(), 0
    while done < length:
        async with image.lock:
            extent = await image.lookup(offset + done, min(length - done, _TOGETHER))
        piece = await _read_extent(image, offset + done, extent)
        if extent.length == length:
            return piece
        result += piece
        done += extent.length
    return result


async def _read_extent(image: Image, offset: int, extent: Extent) -> Buffer:
    if extent.kind is ClusterKind.NORMAL:
        _check_place(extent)
        await image.event("read_aio")
        return await image.file.pread(extent.host, extent.length)
    if extent.kind is ClusterKind.COMPRESSED:
        within = offset & (image.cluster_size - 1)
        return memoryview(await _decompressed(image, extent.entries))[within : within + extent.length]
    backing = image.node.backing
    if backing is None:
        return bytes(extent.length)
    await image.event("read_backing_aio")
    return await backing.pread(offset, extent.length)


def _check_place(extent: Extent) -> None:
    """Raise EIO for a place between sectors, as QEMU does for who reads or writes there."""
    if extent.host % SECTOR_SIZE:
        raise BlockError.from_errno(errno.EIO)


async def _decompressed(image: Image, entries: Sequence[int]) -> bytes:
    """The clusters that these L2 entries describe, one after the other."""
    await image.event("read_compressed")
    places = [image.compressed_place(entry) for entry in entries]
    start, end = min(place for place, _ in places), max(place + length for place, length in places)
    if end - start <= 2 * len(entries) * image.cluster_size:
        packed = memoryview(await image.file.pread(start, end - start))
        pieces = [packed[place - start : place - start + length] for place, length in places]
    else:
        pieces = [memoryview(await image.file.pread(place, length)) for place, length in places]
    try:
        return await run_in_thread(_inflate, pieces, image.cluster_size)
    except CompressionError as error:
        raise BlockError.from_errno(errno.EIO) from error


def _inflate(pieces: Sequence[memoryview], cluster_size: int) -> bytes:
    """The clusters of these compressed forms together. Raises CompressionError."""
    return b"".join([decompress(CompressionType.ZLIB, piece, cluster_size) for piece in pieces])


async def write(image: Image, offset: int, data: Buffer) -> None:
    """Write `data`; a cluster that is not normal yet gets a place at the file's end."""
    view, done = memoryview(data), 0
    while rest := view[done : done + min(_TOGETHER, image.rest_of_table(offset + done))]:
        async with image.lock:
            extent = await image.lookup(offset + done, len(rest))
            if extent.kind is not ClusterKind.NORMAL:
                await _write_anew(image, offset + done, extent, rest[: extent.length])
        if extent.kind is ClusterKind.NORMAL:
            _check_place(extent)
            await image.event("write_aio")
            await image.file.pwrite(extent.host, rest[: extent.length])
        done += extent.length


async def _write_anew(image: Image, offset: int, extent: Extent, data: memoryview) -> None:
    """Write whole clusters around `data`, filled up with what was to be read there. Call it under the lock."""
    size = image.cluster_size
    start, end = offset & -size, -(-(offset + len(data)) & -size)
    if end - start > len(data):
        around = bytearray(await _read_around(image, start, end, extent))
        around[offset - start : offset - start + len(data)] = data
        data = memoryview(around)
    await image.make_table(start)
    place = image.end_of_file(size)
    await image.event("write_aio")
    await image.file.pwrite(place, data)
    await image.link(start, range(place, place + end - start, size))


async def _read_around(image: Image, start: int, end: int, extent: Extent) -> Buffer:
    """What the guest sees in the clusters of an extent that has no place of its own for plain data."""
    if extent.kind is ClusterKind.COMPRESSED:
        return await _decompressed(image, extent.entries)
    backing = image.node.backing
    return bytes(end - start) if backing is None else await backing.pread(start, end - start)


async def write_compressed(image: Image, offset: int, data: Buffer) -> None:
    """Write one cluster, or the shorter last one of the disk, in compressed form; nothing else can be.

    Whatever the cluster was before, it gets a new place. Raises EINVAL for any other range.
    """
    size, length = image.cluster_size, len(data)
    if not length:
        return
    is_last = length < size and offset + length == image.node.size
    if offset & (size - 1) or not (length == size or is_last):
        raise BlockError.from_errno(errno.EINVAL)
    packed = compress(CompressionType.ZLIB, bytes(data).ljust(size, b"\0"))
    if packed is None:
        await write(image, offset, data)
        return
    async with image.lock:
        await image.make_table(offset)
        place = image.end_of_file(SECTOR_SIZE)
        entry = image.compressed_entry(place, len(packed))
        await image.event("write_compressed")
        await image.file.pwrite(place, packed)
        await image.link(offset, [entry])
