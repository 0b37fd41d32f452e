"""Copy-on-read: what a node's backing decides is stored in the node itself when it is read, in whole clusters.

Reading and storing is one request that has its clusters for itself: no write can come between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.driver import Driver
from backcheck_engine.block.request import MAX_REQUEST_BYTES, Buffer, RequestFlag
from backcheck_engine.block.zeroes import MAX_BOUNCE_BUFFER, is_zero
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


def cluster_size(node: Node) -> int:
    """The unit that is stored at once."""
    try:
        info = node.driver.info()
    except BlockError:
        info = None
    if info is None:
        return node.limits.request_alignment
    is_fine = release.current() >= release.QEMU_10_0
    return (info.subcluster_size if is_fine else 0) or info.cluster_size or node.limits.request_alignment


async def read_and_store(node: Node, offset: int, length: int) -> Buffer:
    """`length` bytes of an aligned range; what was not the node's own is so afterwards. Raises BlockError."""
    is_held, count = await node.is_allocated(offset, length)
    if is_held and count == length:
        return await node.driver.pread(offset, length)
    unit = cluster_size(node)
    start, end = offset // unit * unit, -(-(offset + length) // unit) * unit
    data = bytearray(length)
    longest = min(node.limits.max_transfer or MAX_REQUEST_BYTES, MAX_REQUEST_BYTES)
    while start < end:
        piece = min(end - start, longest)
        is_held, count = (True, piece) if node.read_only else await node.is_allocated(start, piece)
        if not count:
            # The image ends in the middle of a cluster.
            break
        if is_held:
            first, last = max(start, offset), min(start + count, offset + length)
            if first < last:
                data[first - offset : last - offset] = await node.driver.pread(first, last - first)
        else:
            count = min(count, MAX_BOUNCE_BUFFER)
            _put(data, offset, start, await _store(node, start, count))
        start += count
    return data


def _put(data: bytearray, offset: int, start: int, found: Buffer) -> None:
    """Put what was found at `start` into `data`, which begins at `offset`, as far as the two overlap."""
    first, last = max(start, offset), min(start + len(found), offset + len(data))
    if first < last:
        data[first - offset : last - offset] = memoryview(found)[first - start : last - start]


async def _store(node: Node, offset: int, length: int) -> Buffer:
    """Read a range that is not the node's own and write it there; the content stays the same."""
    data = await node.driver.pread(offset, length)
    if node.event_sink is not None:
        await node.event_sink.driver.debug_event("cor_write")
    can_zero = type(node.driver).pwrite_zeroes is not Driver.pwrite_zeroes
    if can_zero and is_zero(data):
        await node.store_zeroes(offset, length)
    else:
        await node.driver.pwrite(offset, data, RequestFlag.WRITE_UNCHANGED)
    return data
