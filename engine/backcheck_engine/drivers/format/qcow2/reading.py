"""Reads: extents one after the other, each from where its data is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block.request import Buffer, Range
from backcheck_engine.drivers.format.qcow2.compressed_reading import compressed_run, read_compressed, read_run
from backcheck_engine.drivers.format.qcow2.mapping import Extent, data_places, lookup
from backcheck_engine.drivers.format.qcow2.status import is_metadata_preallocated
from backcheck_engine.drivers.format.qcow2.tables import UNALLOCATED_KINDS, ZERO_KINDS, ClusterKind
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.format.qcow2.image import Image


async def read(image: Image, offset: int, length: int) -> Buffer:
    """Exactly `length` bytes of what the guest sees at `offset`."""
    async with image.lock:
        extent = await lookup(image, offset, length)
    if extent.length >= length:
        return await _read_extent(image, offset, extent)
    result, done = bytearray(), 0
    while True:
        run = await compressed_run(image, offset + done, length - done) if extent.kind is ClusterKind.COMPRESSED else []
        if len(run) > 1:
            piece: Buffer | None = await read_run(image, run)
        else:
            piece = None if _reads_as_fresh(image, extent) else await _read_extent(image, offset + done, extent)
        count = extent.length if piece is None else len(piece)
        if piece is not None:
            if count == length:
                return piece
            result = result or bytearray(length)
            memoryview(result)[done : done + count] = piece
        done += count
        if done >= length:
            return result or bytes(length)
        async with image.lock:
            extent = await lookup(image, offset + done, length - done)


async def copy_scattered(image: Image, places: Sequence[Range], target: Node, ranges: Sequence[Range]) -> int:
    """Copy the first `places` of the guest's disk to `ranges` of `target`, as far as they are plain data; how many."""
    async with image.lock:
        if await is_metadata_preallocated(image):
            # What looks like data may be a hole of the file.
            return 0
        try:
            below = await data_places(image, places)
        except BlockError:
            # Reading one by one tells of it.
            return 0
    return await image.data.copy_scattered(below, target, ranges[: len(below)])


def _reads_as_fresh(image: Image, extent: Extent) -> bool:
    """Whether the extent reads as zeroes, as a new buffer does."""
    return extent.kind in ZERO_KINDS or (extent.kind in UNALLOCATED_KINDS and image.node.backing is None)


async def _read_extent(image: Image, offset: int, extent: Extent) -> Buffer:
    if extent.kind is ClusterKind.NORMAL:
        await image.event("read_aio")
        return await image.data.pread(extent.host, extent.length)
    if extent.kind is ClusterKind.COMPRESSED:
        return await read_compressed(image, offset, extent)
    backing = image.node.backing
    if extent.kind in ZERO_KINDS or backing is None:
        return bytes(extent.length)
    await image.event("read_backing_aio")
    return await backing.pread(offset, extent.length)
