"""A disk as it was when a copy-before-write filter came: what was changed since is in the filter's target.

A read that goes to the source holds its range: a guest's write to it waits until the read has ended, after the old
content was saved. What may be read is one bitmap, what was saved is another, both in the clusters of the copying.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.tracking import RequestKind, TrackedRequest
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.block_copy import BlockCopy
    from backcheck_engine.block.request import BlockStatus, Buffer


class FrozenView:
    """The point in time that one filter guards."""

    def __init__(self, copy: BlockCopy) -> None:
        self._copy: Final = copy
        self.saved: Final = DirtyBitmap(copy.size, copy.cluster_size, recording=False)
        """Clusters that guests' writes have reached, so that their old content is in the target."""
        self.accessible: Final = DirtyBitmap(copy.size, copy.cluster_size, recording=False)
        """What a reader may ask for: what was to be copied at the start."""
        self.accessible.merge_from(copy.bitmap)
        self.error: BlockError | None = None
        """Why the view is broken, if it is."""
        self._reads: Final[dict[TrackedRequest, None]] = {}
        """Reads of the source that are under way."""

    # What the filter tells.

    def guest_writes(self, offset: int, length: int) -> None:
        """The old content of a range that a guest is about to change is in the target."""
        self.saved.set(offset, length)

    def break_with(self, error: BlockError) -> None:
        """Old content was lost; the first reason is kept."""
        self.error = self.error or error

    @property
    def is_being_read(self) -> bool:
        """Whether `readers_end` has anybody to wait for."""
        return bool(self._reads)

    async def readers_end(self, offset: int, length: int) -> None:
        """Wait until nobody reads the clusters of a range from the source."""
        unit = self._copy.cluster_size
        start, end = offset // unit * unit, -(-(offset + length) // unit) * unit
        while (read := next((one for one in self._reads if one.overlaps(start, end)), None)) is not None:
            await asyncio.shield(read.waiter())

    # What readers ask. All raise BlockError, EACCES for what is not (or no longer) in the view.

    async def pread(self, offset: int, length: int) -> Buffer:
        """Exactly `length` bytes, which are all in the view or none is given."""
        data = await self._read_piece(offset, length)
        if len(data) == length:
            return data
        pieces = [data]
        done = len(data)
        while done < length:
            pieces.append(await self._read_piece(offset + done, length - done))
            done += len(pieces[-1])
        return b"".join(pieces)

    async def _read_piece(self, offset: int, length: int) -> Buffer:
        """What lies on one side, source or target, from `offset` on."""
        is_saved, length = self._side(offset, length)
        if is_saved:
            return await self._copy.target.node.pread(offset, length)
        read = self._hold(offset, length)
        try:
            return await self._copy.source.node.pread(offset, length)
        finally:
            self._let_go(read)

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        """What is at `offset`, as the side that holds it knows it."""
        is_saved, length = self._side(offset, length)
        if is_saved:
            return await self._copy.target.node.block_status(offset, length, want_zero)
        read = self._hold(offset, length)
        try:
            return await self._copy.source.node.block_status(offset, length, want_zero)
        finally:
            self._let_go(read)

    async def discard(self, offset: int, length: int) -> None:
        """Take whole clusters out of the view: they need not be copied, and the target need not keep them."""
        unit = self._copy.cluster_size
        start, end = -(-offset // unit) * unit, (offset + length) // unit * unit
        if end <= start:
            return
        self.accessible.clear(start, end - start)
        self._copy.forget(start, end - start)
        await self._copy.target.node.discard(start, end - start)

    def _side(self, offset: int, length: int) -> tuple[bool, int]:
        """(whether the target has it, for how many bytes)."""
        end = offset + length
        if self.error is not None or self.accessible.next_clear(offset, end) is not None:
            raise BlockError.from_errno(errno.EACCES)
        is_saved = self.saved.get(offset)
        change = self.saved.next_clear(offset, end) if is_saved else self.saved.next_dirty(offset, end)
        return is_saved, length if change is None else change - offset

    def _hold(self, offset: int, length: int) -> TrackedRequest:
        read = TrackedRequest(RequestKind.READ, offset, length)
        self._reads[read] = None
        return read

    def _let_go(self, read: TrackedRequest) -> None:
        del self._reads[read]
        read.finish()
