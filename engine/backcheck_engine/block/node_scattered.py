"""Copying separate ranges of one node to another together, straight from file to file of the host.

Such a copy goes down from the source to the file that holds the data, and from there down the target to the file that
takes it. A node hands the ranges on only where it would do nothing else with them one by one.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block.node_zeroes import NodeZeroes
from backcheck_engine.block.padding import is_aligned
from backcheck_engine.block.request import SECTOR_SIZE, FilePiece, Range
from backcheck_engine.block.tracking import RequestKind
from backcheck_engine.block.zeroes import is_zero
from backcheck_engine.tracing import BDRV_CO_PREADV, BDRV_CO_PWRITEV, TraceEvent

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_FEWEST = 2
"""Ranges that are fewer are left to who copies one."""


class NodeScattered(NodeZeroes):
    """Adds requests for several ranges to `NodeZeroes`; ranges that are written ascend.

    What is left, perhaps all, is for `pread` and `pwrite`, as is everything that fails: these tell why.
    """

    async def copy_scattered(self, places: Sequence[Range], target: "Node", ranges: Sequence[Range]) -> int:
        """Copy the first `places` of this node to as many `ranges` of `target`, each as long; how many that was.

        Only what is data of this node itself is copied, nothing that reads as zeroes without being stored.
        """
        size = self._node.size
        if not self._hands_on(BDRV_CO_PREADV, places) or any(offset + length > size for offset, length in places):
            return 0
        self.in_flight += 1
        request = self.tracker.begin_scattered(RequestKind.READ, places)
        try:
            return await self.driver.copy_scattered(places, target, ranges)
        finally:
            self._end(request)

    async def pwrite_scattered(self, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        """Write the first of `ranges`, each from its piece; how many that was."""
        if not self._hands_on(BDRV_CO_PWRITEV, ranges) or self.read_only:
            return 0
        if self.detect_zeroes != "off":
            ranges = ranges[: _count_data(pieces)]
            if len(ranges) < _FEWEST:
                return 0
            pieces = pieces[: len(ranges)]
        self.in_flight += 1
        request = self.tracker.begin_scattered(RequestKind.WRITE, ranges)
        try:
            count = await self.driver.pwrite_scattered(ranges, pieces)
            self._finish_scattered(ranges[:count])
            return count
        finally:
            self._end(request)

    def _finish_scattered(self, written: Sequence[Range]) -> None:
        if written:
            # The last is what may have made the image grow.
            self._finish_write(*written[-1])
        if self.bitmaps.attached:
            for offset, length in written[:-1]:
                self.bitmaps.mark_written(offset, length)

    def _hands_on(self, event: TraceEvent, ranges: Sequence[Range]) -> bool:
        """Whether nobody is told of each request, or has to wait for one."""
        if event.is_on or self.copies_on_read or self.event_sink is not None:
            return False
        if self.tracker.serialising_count or len(ranges) < _FEWEST:
            return False
        alignment = self.limits.request_alignment
        return alignment == 1 or all(is_aligned(offset, length, alignment) for offset, length in ranges)


def _count_data(pieces: Sequence[FilePiece]) -> int:
    """How many of the first pieces are not all zeroes, as far as a look at their ends tells."""
    return next((index for index, piece in enumerate(pieces) if not _is_data(piece)), len(pieces))


def _is_data(piece: FilePiece) -> bool:
    last = piece.offset + max(piece.length - SECTOR_SIZE, 0)
    try:
        return any(not is_zero(os.pread(piece.descriptor, SECTOR_SIZE, offset)) for offset in (piece.offset, last))
    except OSError:
        return False
