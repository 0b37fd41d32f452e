"""Zeroing and discarding ranges of a node."""

import errno

from backcheck_engine import release
from backcheck_engine.block.node_requests import NONE, NodeRequests, check_range
from backcheck_engine.block.padding import Padding, is_aligned
from backcheck_engine.block.request import RequestFlag
from backcheck_engine.block.tracking import RequestKind, TrackedRequest
from backcheck_engine.block.zeroes import pieces_to_discard
from backcheck_engine.errors import BlockError
from backcheck_engine.tracing import BDRV_CO_PWRITE_ZEROES


class NodeZeroes(NodeRequests):
    """Adds zeroing and discarding to `NodeRequests`."""

    async def pwrite_zeroes(
        self, offset: int, length: int, flags: RequestFlag = NONE, *, is_from_outside: bool = False
    ) -> None:
        """Make a range read as zeroes; with MAY_UNMAP it may be deallocated where `discard` of the node allows.

        Before 10.0 a request from outside the graph was allowed that by the nodes below only.
        """
        check_range(offset, length)
        self._check_writable()
        if not length:
            return
        if BDRV_CO_PWRITE_ZEROES.is_on:
            BDRV_CO_PWRITE_ZEROES(self, offset, length, flags.value)
        if self.discard_mode != "unmap" and not (is_from_outside and release.current() < release.QEMU_10_0):
            flags &= ~RequestFlag.MAY_UNMAP
        alignment = self.limits.request_alignment
        aligned = is_aligned(offset, length, alignment)
        if RequestFlag.NO_FALLBACK in flags and not aligned:
            raise BlockError.from_errno(errno.ENOTSUP)
        request = self._begin(RequestKind.WRITE, offset, length)
        try:
            if aligned:
                await self._zero_aligned(request, offset, length, flags)
            else:
                await self._zero_padded(request, Padding(offset, length, alignment), flags)
        finally:
            self._end(request)

    async def _zero_padded(self, request: TrackedRequest, padding: Padding, flags: RequestFlag) -> None:
        """Zero whole blocks, and write those at either end with what they have beside the request."""
        head, tail = await self._read_ends(request, padding)
        if padding.in_one_block:
            merged = b"".join((head, bytes(padding.length), tail))
            await self._write_aligned(request, padding.start, merged, flags & ~RequestFlag.MAY_UNMAP)
            return
        block, start, end = padding.alignment, padding.start, padding.end
        if head:
            start += block
            await self._write_aligned(request, padding.start, head.ljust(block, b"\0"), flags)
        if tail:
            end -= block
        await self._zero_aligned(request, start, end - start, flags)
        if tail:
            await self._write_aligned(request, end, tail.rjust(block, b"\0"), flags)

    async def _zero_aligned(self, request: TrackedRequest, offset: int, length: int, flags: RequestFlag) -> None:
        if not length:
            return
        await self._prepare_write(request, flags)
        try:
            if self.event_sink is not None:
                await self._report("pwritev_zero")
            await self._driver_zeroes(offset, length, flags)
        finally:
            if self.event_sink is not None:
                await self._report("pwritev_done")
            self._finish_write(offset, length)

    async def discard(self, offset: int, length: int) -> None:
        """Say that a range is no longer needed; does nothing unless the node was opened with discard=unmap."""
        check_range(offset, length)
        if not length or self.discard_mode != "unmap" or not self.driver.supports_discard:
            return
        self._check_writable()
        request = self._begin(RequestKind.DISCARD, offset, length)
        try:
            await self._prepare_write(request, NONE)
            try:
                await self._discard_pieces(offset, length)
            finally:
                self.write_generation += 1
                self.bitmaps.mark_written(offset, length)
        finally:
            self._end(request)

    async def _discard_pieces(self, offset: int, length: int) -> None:
        limits = self.limits
        alignment = max(limits.pdiscard_alignment, limits.request_alignment)
        for start, piece in pieces_to_discard(offset, length, alignment, limits.request_alignment, limits.max_pdiscard):
            try:
                await self.driver.discard(start, piece)
                self.discards.done += 1
                self.discards.bytes_done += piece
            except BlockError as error:
                self.discards.failed += 1
                skipped = error.errno == errno.EINVAL and (start % alignment or piece % alignment)
                if error.errno != errno.ENOTSUP and not skipped:
                    raise
