"""What a BLOCK_STATUS request is answered with: the extents of one meta context of an export.

All functions give at most `limit` extents, none of them empty, that together lie in [offset, offset + length).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.nbd.constants import DIRTY, AllocationState
from backcheck_engine.nbd.transmission import Extent

MAX_EXTENTS: Final = 128 * 1024
"""The longest answer, as QEMU bounds it."""
_HOLE: Final = int(AllocationState.HOLE)
_ZERO: Final = int(AllocationState.ZERO)
_STEPS_WITHOUT_PAUSE: Final = 256
"""Questions to the graph, which may all be answered without waiting, before others get their turn."""

_Look = Callable[[int, int], Awaitable[Extent]]


async def allocation_extents(backend: BlockBackend, offset: int, length: int, limit: int) -> list[Extent]:
    """The extents of base:allocation; until 7.0 zeroes that were written were no hole. Raises BlockError."""

    holes_are_unallocated = release.current() < release.QEMU_7_2

    async def look(start: int, longest: int) -> Extent:
        status = await backend.block_status(start, longest)
        is_hole = not (status.allocated if holes_are_unallocated else status.data)
        return Extent(status.length, _HOLE * is_hole | _ZERO * status.zero)

    return await _collect(look, offset, length, limit)


async def depth_extents(backend: BlockBackend, offset: int, length: int, limit: int) -> list[Extent]:
    """The extents of qemu:allocation-depth. Raises BlockError."""

    async def look(start: int, longest: int) -> Extent:
        count, depth = await backend.allocation_depth(start, longest)
        return Extent(count, depth)

    return await _collect(look, offset, length, limit)


async def _collect(look: _Look, offset: int, length: int, limit: int) -> list[Extent]:
    """Ask from place to place; neighbours with the same flags are one extent."""
    extents: list[Extent] = []
    end = offset + length
    steps = 0
    while offset < end:
        found = await look(offset, end - offset)
        if not found.length:
            break
        if extents and extents[-1].flags == found.flags:
            extents[-1] = Extent(extents[-1].length + found.length, found.flags)
        elif len(extents) == limit:
            break
        else:
            extents.append(found)
        offset += found.length
        steps += 1
        if steps % _STEPS_WITHOUT_PAUSE == 0:
            await asyncio.sleep(0)
    return extents


def bitmap_extents(bitmap: DirtyBitmap, offset: int, length: int, limit: int) -> list[Extent]:
    """The extents of qemu:dirty-bitmap."""
    extents: list[Extent] = []
    end = offset + length
    while offset < end and len(extents) < limit:
        run = bitmap.next_dirty_run(offset, end)
        start = end if run is None else run[0]
        if start > offset:
            extents.append(Extent(start - offset, 0))
        if run is not None and len(extents) < limit:
            extents.append(Extent(run[1], DIRTY))
            start += run[1]
        offset = start
    return extents
