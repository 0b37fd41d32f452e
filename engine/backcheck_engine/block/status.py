"""Block status: whose data a range is, at one node and through a chain of backings of different sizes."""

from typing import TYPE_CHECKING

from backcheck_engine.block.request import BlockStatus

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


async def block_status(node: "Node", offset: int, length: int, want_zero: bool) -> BlockStatus:
    """What `node` itself knows, as QEMU merges it from its driver and the file below.

    The length of the answer is 0 at or beyond the end of the image, and for a `length` of 0.
    """
    size = node.size
    if offset >= size:
        return BlockStatus(length=0, eof=True)
    length = min(length, size - offset)
    if length <= 0:
        return BlockStatus(length=0)
    status = await _ask_driver(node, offset, length, want_zero)
    if status.delegated and status.file is not None and status.host_offset is not None:
        below = await block_status(status.file, status.host_offset, status.length, want_zero)
        eof = offset + below.length == size
        return below if below.eof == eof else below._replace(eof=eof)
    allocated = status.data or status.zero
    zero = status.zero
    if not allocated and node.driver.supports_backing:
        zero = _is_zero_without_own_data(node, offset, want_zero)
    if want_zero and status.recurse and status.data and not zero:
        zero, count = await _ask_file(status)
        status = status._replace(length=count)
    return status._replace(zero=zero, allocated=allocated, eof=offset + status.length == size)


async def _ask_driver(node: "Node", offset: int, length: int, want_zero: bool) -> BlockStatus:
    """The driver's answer for a range widened to the node's alignment, cut back to the range asked."""
    alignment = node.limits.request_alignment
    start = offset & -alignment
    end = -(-(offset + length) & -alignment)
    status = await node.driver.block_status(start, end - start, want_zero)
    if start == offset and status.length <= length:
        return status
    skipped = offset - start
    host_offset = None if status.host_offset is None else status.host_offset + skipped
    return status._replace(length=min(status.length - skipped, length), host_offset=host_offset)


def _is_zero_without_own_data(node: "Node", offset: int, want_zero: bool) -> bool:
    """An overlay's hole reads as zeroes without a backing, and beyond the end of a short one."""
    backing = node.overlaid
    if backing is None:
        return True
    return want_zero and offset >= backing.size


async def _ask_file(status: BlockStatus) -> tuple[bool, int]:
    """(zero, length) of allocated data that may lie in a hole of the file below."""
    assert status.file is not None
    assert status.host_offset is not None
    below = await block_status(status.file, status.host_offset, status.length, True)
    if below.eof and (not below.length or below.zero):
        return True, status.length
    return below.zero, below.length


async def block_status_above(
    node: "Node", base: "Node | None", offset: int, length: int, *, include_base: bool, want_zero: bool
) -> tuple[BlockStatus, int]:
    """(what a reader of the chain from `node` down to `base` sees, how many layers down it was decided).

    The depth is 1 for `node` itself, and 0 when the chain is empty.
    """
    if node is base and not include_base:
        return BlockStatus(length=length), 0
    status = await block_status(node, offset, length, want_zero)
    depth = 1
    if status.length == 0 or status.allocated or node is base:
        return status, depth
    end_of_image = offset + status.length if status.eof else None
    length = status.length
    lower = node.below
    while lower is not None and (include_base or lower is not base):
        status = await block_status(lower, offset, length, want_zero)
        depth += 1
        if status.length == 0:
            # The layer above deferred to this one, which is too short: its zeroes count as allocated here.
            status = BlockStatus(length=length, zero=True, allocated=True, file=lower)
            break
        length = status.length
        if status.allocated or lower is base:
            break
        lower = lower.below
    return status._replace(eof=offset + status.length == end_of_image), depth


async def is_allocated_above(
    node: "Node", base: "Node | None", offset: int, length: int, *, include_base: bool
) -> tuple[bool, int, int]:
    """(whether a node above `base` decides the content, for how many bytes, depth as in `block_status_above`)."""
    status, depth = await block_status_above(node, base, offset, length, include_base=include_base, want_zero=False)
    return status.allocated, status.length, depth if status.allocated else 0
