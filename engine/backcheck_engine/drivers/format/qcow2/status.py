"""What the image says about a guest range, as the block layer asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.block.request import BlockStatus
from backcheck_engine.drivers.format.qcow2.compressed_reading import alike_length
from backcheck_engine.drivers.format.qcow2.mapping import lookup
from backcheck_engine.drivers.format.qcow2.tables import PLACED_KINDS, UNALLOCATED_KINDS, ZERO_KINDS, ClusterKind

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image


async def block_status(image: Image, offset: int, length: int) -> BlockStatus:
    """The status of the extent at `offset`; compressed clusters that follow each other are one."""
    async with image.lock:
        extent = await lookup(image, offset, length)
        is_compressed = extent.kind is ClusterKind.COMPRESSED
        alike = await alike_length(image, offset, length) if is_compressed else extent.length
        preallocated = extent.kind is ClusterKind.NORMAL and await is_metadata_preallocated(image)
    placed = extent.kind in PLACED_KINDS
    return BlockStatus(
        length=alike,
        data=is_compressed or extent.kind is ClusterKind.NORMAL,
        zero=extent.kind in ZERO_KINDS,
        compressed=is_compressed,
        host_offset=extent.host if placed else None,
        file=image.data if placed else None,
        recurse=preallocated,
    )


async def reads_as_zero(image: Image, offset: int, length: int) -> bool:
    """Whether a guest range is known to read as zeroes, as what lies beyond the end does. Call it under the lock."""
    end = min(offset + length, image.size)
    while offset < end:
        extent = await lookup(image, offset, end - offset)
        reach = extent.length
        if extent.kind in UNALLOCATED_KINDS:
            backing = image.node.backing
            if backing is not None and offset < backing.size:
                status = await backing.block_status_above(None, offset, min(reach, backing.size - offset))
                if not status.zero:
                    return False
                reach = status.length
        elif extent.kind not in ZERO_KINDS:
            return False
        offset += reach
    return True


async def is_metadata_preallocated(image: Image) -> bool:
    """Whether far more clusters are in use than the file has on its host: then holes are worth asking for."""
    if image.metadata_preallocated is None:
        allocated = image.file.allocated_size()
        size = image.geometry.cluster_size
        if allocated is None or image.has_data_file:
            image.metadata_preallocated = False
        else:
            held = allocated // size
            # A ninth more, and at least two clusters: as QEMU has it.
            limit = max(held * 10 // 9, held + 2)
            # A file that is not that long need not be counted.
            is_long = image.geometry.clusters(image.file.size) >= limit
            image.metadata_preallocated = is_long and await image.refcounts.count_used(limit) >= limit
    return image.metadata_preallocated
