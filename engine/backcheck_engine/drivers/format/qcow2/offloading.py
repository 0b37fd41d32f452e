"""Copies that the host's kernel makes: a guest range handed on to the file that holds it, and a file's piece taken in.

As in any write, an L2 entry changes only when the data it refers to is in the file.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.request import FilePiece, RequestFlag
from backcheck_engine.drivers.format.qcow2.mapping import Extent, lookup
from backcheck_engine.drivers.format.qcow2.tables import UNALLOCATED_KINDS, ClusterKind
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.in_flight import Allocation
    from backcheck_engine.drivers.format.qcow2.placing import Placer
    from backcheck_engine.drivers.format.qcow2.writing import Writer


async def copy_range_from(
    image: Image, offset: int, length: int, target: Node, target_offset: int, flags: RequestFlag
) -> None:
    """Have `target` take a guest range, extent by extent. Raises BlockError, ENOTSUP at a compressed cluster."""
    done = 0
    while done < length:
        async with image.lock:
            extent = await lookup(image, offset + done, length - done)
        done += await _hand_on(image, offset + done, extent, target, target_offset + done, flags)


async def _hand_on(
    image: Image, offset: int, extent: Extent, target: Node, target_offset: int, flags: RequestFlag
) -> int:
    """Have `target` take the first part of an extent; how many bytes that is."""
    if extent.kind is ClusterKind.COMPRESSED:
        raise BlockError.from_errno(errno.ENOTSUP)
    if extent.kind is ClusterKind.NORMAL:
        await image.data.copy_range_from(extent.host, extent.length, target, target_offset, flags)
        return extent.length
    backing = image.node.backing
    if extent.kind in UNALLOCATED_KINDS and backing is not None and offset < backing.size:
        length = min(extent.length, backing.size - offset)
        await backing.copy_range_from(offset, length, target, target_offset, flags)
        return length
    await target.pwrite_zeroes(target_offset, extent.length, flags)
    return extent.length


class OffloadedWriter:
    """Guest writes to one image whose data lies in another file of the host."""

    def __init__(self, image: Image, writer: Writer, placer: Placer) -> None:
        self._image: Final = image
        self._writer: Final = writer
        self._placer: Final = placer

    async def copy_range_to(self, offset: int, piece: FilePiece, flags: RequestFlag) -> None:
        """Take `piece` in at a guest offset, place by place. Raises BlockError."""
        done = 0
        while done < piece.length:
            host, count, allocation = await self._placer.place(offset + done, piece.length - done)
            part = FilePiece(piece.descriptor, piece.offset + done, count)
            if allocation is None:
                await self._copy_in_place(offset + done, host, part, flags)
            else:
                await self._copy_allocated(allocation, host, part, flags)
            done += count

    async def _copy_in_place(self, offset: int, host: int, part: FilePiece, flags: RequestFlag) -> None:
        token = self._writer.in_flight.begin_in_place(offset, part.length)
        try:
            await self._copy(host, part, flags)
        finally:
            self._writer.in_flight.end_in_place(token)

    async def _copy_allocated(self, allocation: Allocation, host: int, part: FilePiece, flags: RequestFlag) -> None:
        """Copy to a new place and what has to be there around it, then change the entries; or give the place back."""
        try:
            await self._copy(host, part, flags)
            await self._copy_around(allocation)
        except BaseException:
            await self._writer.abort(allocation)
            raise
        await self._writer.finish(allocation)

    async def _copy(self, host: int, part: FilePiece, flags: RequestFlag) -> None:
        await self._writer.check_data_write(host, part.length)
        await self._image.data.copy_range_to(host, part, flags)

    async def _copy_around(self, allocation: Allocation) -> None:
        """Write what has to be copied before and after the data, both read before either is written."""
        around = [
            (allocation.host + offset - allocation.offset, await self._writer.content_around(offset, length))
            for offset, length in (allocation.head, allocation.tail)
        ]
        for host, content in around:
            if len(content):
                await self._writer.check_data_write(host, len(content))
                await self._image.event("cow_write")
                await self._image.data.pwrite(host, content)
