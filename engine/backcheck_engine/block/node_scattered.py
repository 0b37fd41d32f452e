"""Requests that stand for many: separate ranges copied straight from file to file of the host; clusters compressed.

A copy goes down from the source to the file that holds the data, and from there down the target to the file that
takes it. A node hands the ranges on only where it would do nothing else with them one by one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from backcheck_engine.block.node_zeroes import NodeZeroes
from backcheck_engine.block.padding import is_aligned
from backcheck_engine.block.request import SECTOR_SIZE, Buffer, FilePiece, Range, RequestFlag
from backcheck_engine.block.tracking import RequestKind
from backcheck_engine.block.zeroes import is_zero
from backcheck_engine.errors import BlockError
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
        if not self._hands_on(places) or any(offset + length > size for offset, length in places):
            return 0
        self.in_flight += 1
        request = self.tracker.begin_scattered(RequestKind.READ, places)
        try:
            count = await self.driver.copy_scattered(places, target, ranges)
            self._tell(BDRV_CO_PREADV, places[:count])
            return count
        finally:
            self._end(request)

    async def pwrite_scattered(self, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        """Write the first of `ranges`, each from its piece; how many that was."""
        if not self._hands_on(ranges) or self.read_only:
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
            self._tell(BDRV_CO_PWRITEV, ranges[:count])
            self._finish_scattered(ranges[:count])
            return count
        finally:
            self._end(request)

    async def pwrite_compressed_together(self, offset: int, data: Buffer, unit: int) -> int:
        """Write as much of the front of `data` as can be, compressed, as if each `unit` bytes came alone.

        How many bytes that was.
        """
        view = memoryview(data)
        ranges = [(offset + at, min(unit, len(view) - at)) for at in range(0, len(view), unit)]
        if not self._hands_on(ranges) or self.read_only or offset + len(view) > self._node.size:
            return 0
        done = 0
        request = self._begin(RequestKind.WRITE, offset, len(view))
        try:
            # What fails is left, to fail again by itself.
            with suppress(BlockError):
                for start, end, is_data in self._compressible(view, unit):
                    if is_data:
                        done += await self.driver.pwrite_compressed_together(offset + start, view[start:end])
                    else:
                        await self._driver_zeroes(offset + start, end - start, self._zero_flags())
                        done = end
                    if done < end:
                        break
        finally:
            if done:
                self._finish_write(offset, done)
            self._end(request)
        done = done // unit * unit if done < len(view) else done
        self._tell(BDRV_CO_PWRITEV, ranges[: -(-done // unit)], RequestFlag.WRITE_COMPRESSED)
        return done

    def _compressible(self, view: memoryview, unit: int) -> Iterator[tuple[int, int, bool]]:
        """(start, end, whether it is data) of parts in whole units; zeroes are data where nobody looks for them."""
        if self.detect_zeroes == "off":
            yield 0, len(view), True
            return
        starts = range(0, len(view), unit)
        for is_data, group in groupby(starts, lambda start: not is_zero(view[start : start + unit])):
            part = list(group)
            yield part[0], min(part[-1] + unit, len(view)), is_data

    def _zero_flags(self) -> RequestFlag:
        """How zeroes are written that were found in data."""
        unmaps = self.detect_zeroes == "unmap" and self.discard_mode == "unmap"
        return RequestFlag.MAY_UNMAP if unmaps else RequestFlag.NONE

    def _finish_scattered(self, written: Sequence[Range]) -> None:
        if written:
            # The last is what may have made the image grow.
            self._finish_write(*written[-1])
        if self.bitmaps.attached:
            for offset, length in written[:-1]:
                self.bitmaps.mark_written(offset, length)

    def _tell(self, event: TraceEvent, ranges: Sequence[Range], flags: RequestFlag = RequestFlag.NONE) -> None:
        """Trace what was done together as the requests that it stands for; before, nobody knows how many there are."""
        if event.is_on:
            for offset, length in ranges:
                event(self, offset, length, flags.value)

    def _hands_on(self, ranges: Sequence[Range]) -> bool:
        """Whether nobody wants to change each request, or has to wait for one."""
        if self.copies_on_read or self.event_sink is not None:
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
