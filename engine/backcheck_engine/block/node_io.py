"""What else can be asked of a node: compressed writes, another size, block status, debug events."""

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block import status
from backcheck_engine.block.node_requests import NONE
from backcheck_engine.block.node_zeroes import NodeZeroes
from backcheck_engine.block.padding import is_aligned
from backcheck_engine.block.request import MAX_IMAGE_BYTES, BlockStatus, Buffer, Range, RequestFlag
from backcheck_engine.block.tracking import RequestKind, TrackedRequest
from backcheck_engine.block.zeroes import is_zero
from backcheck_engine.errors import BlockError
from backcheck_engine.tracing import BDRV_CO_PREADV, BDRV_CO_PWRITEV

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


class NodeIO(NodeZeroes):
    """The whole half of `Node` that carries requests."""

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Write `data` compressed, where the driver can (ENOTSUP elsewhere, as late as any other failure)."""
        await self.pwrite(offset, data, RequestFlag.WRITE_COMPRESSED)

    async def pread_scattered(self, ranges: Sequence[Range], buffer: memoryview) -> int:
        """Read the first of several separate ranges, one behind the other into `buffer`; how many that was.

        What is left, perhaps all, is for `pread`, as is everything that needs more than to be handed on.
        """
        if BDRV_CO_PREADV.is_on or self._handles_each_request or not self._are_aligned(ranges):
            return 0
        size = self._node.size
        if any(offset + length > size for offset, length in ranges):
            return 0
        requests = self._begin_all(RequestKind.READ, ranges)
        try:
            return await self.driver.pread_scattered(ranges, buffer)
        finally:
            self._end_all(requests)

    async def pwrite_scattered(self, ranges: Sequence[Range], data: memoryview) -> int:
        """Write the first of several separate ranges, whose data lies one behind the other; how many that was.

        What is left, perhaps all, is for `pwrite`, as is everything that needs more than to be handed on: zeroes that
        are looked for, requests to wait for, ends to be padded.
        """
        if BDRV_CO_PWRITEV.is_on or self._handles_each_request or not self._are_aligned(ranges) or self.read_only:
            return 0
        ranges = ranges[: self._count_before_zeroes(ranges, data)]
        if len(ranges) < 2:
            return 0
        requests = self._begin_all(RequestKind.WRITE, ranges)
        try:
            count = await self.driver.pwrite_scattered(ranges, data)
            # The last first: when the image has grown, its parents hear of it once.
            for offset, length in reversed(ranges[:count]):
                self._finish_write(offset, length)
            return count
        finally:
            self._end_all(requests)

    def _begin_all(self, kind: RequestKind, ranges: Sequence[Range]) -> list[TrackedRequest]:
        self.in_flight += 1
        return [self.tracker.begin(kind, offset, length) for offset, length in ranges]

    def _end_all(self, requests: Sequence[TrackedRequest]) -> None:
        for request in requests:
            self.tracker.end(request)
        self._leave()

    @property
    def _handles_each_request(self) -> bool:
        """Whether requests are told of, or have to wait, one by one."""
        return self.event_sink is not None or self.tracker.serialising_count > 0

    def _are_aligned(self, ranges: Sequence[Range]) -> bool:
        alignment = self.limits.request_alignment
        return alignment == 1 or all(is_aligned(offset, length, alignment) for offset, length in ranges)

    def _count_before_zeroes(self, ranges: Sequence[Range], data: memoryview) -> int:
        """How many of the first `ranges` are written as they are, not as zeroes."""
        if self.detect_zeroes == "off":
            return len(ranges)
        start = 0
        for index, (_, length) in enumerate(ranges):
            if is_zero(data[start : start + length]):
                return index
            start += length
        return len(ranges)

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        """Change the size in bytes; with `exact` off, a driver that cannot may leave the image larger."""
        node = self._node
        if size < 0:
            raise BlockError("Image size cannot be negative", errno.EINVAL)
        if size > MAX_IMAGE_BYTES:
            raise BlockError(f"offset({size}) exceeds maximum({MAX_IMAGE_BYTES})", errno.EIO)
        if self.read_only:
            raise BlockError("Image is read-only", errno.EACCES)
        old_size = node.size
        added = max(0, size - old_size)
        request = self._begin(RequestKind.TRUNCATE, size - added, added)
        try:
            if added:
                self.tracker.make_serialising(request, 1)
            await self._prepare_write(request, NONE)
            backing = node.overlaid
            zero = zero or (added > 0 and backing is not None and backing.size > old_size)
            await self.driver.truncate(size, exact=exact, preallocation=preallocation, zero=zero)
            node.refresh_size()
            self.write_generation += 1
            self.bitmaps.resize(node.size)
            node.notify_resized()
        finally:
            self._end(request)

    async def block_status(self, offset: int, length: int, want_zero: bool = True) -> BlockStatus:
        """What this node, without its backing, knows about a range; allocated, zero and eof are complete.

        The answer's length is 0 at or beyond the end.
        """
        self.in_flight += 1
        try:
            return await status.block_status(self._node, offset, length, want_zero)
        finally:
            self._leave()

    async def block_status_above(
        self, base: "Node | None", offset: int, length: int, *, include_base: bool = False, want_zero: bool = True
    ) -> BlockStatus:
        """What a reader of the chain from this node down to `base` (excluded unless `include_base`) sees."""
        self.in_flight += 1
        try:
            answer, _ = await status.block_status_above(
                self._node, base, offset, length, include_base=include_base, want_zero=want_zero
            )
            return answer
        finally:
            self._leave()

    async def is_allocated(self, offset: int, length: int) -> tuple[bool, int]:
        """(whether this node decides the content, for how many bytes)."""
        answer = await self.block_status(offset, length, want_zero=False)
        return answer.allocated, answer.length

    async def is_allocated_above(
        self, base: "Node | None", include_base: bool, offset: int, length: int
    ) -> tuple[bool, int]:
        """(whether any node above `base` decides the content, for how many bytes)."""
        answer = await self.block_status_above(base, offset, length, include_base=include_base, want_zero=False)
        return answer.allocated, answer.length

    async def allocation_depth(self, offset: int, length: int) -> tuple[int, int]:
        """(for how many bytes, how many layers down the content is decided: 1 is here, 0 nowhere)."""
        self.in_flight += 1
        try:
            _, count, depth = await status.is_allocated_above(self._node, None, offset, length, include_base=False)
            return count, depth
        finally:
            self._leave()

    async def debug_event(self, event: str) -> None:
        """Report that the format above this node reached the BlkdebugEvent `event`; may suspend the caller.

        Callers ask first, so that it costs nothing elsewhere: `if file.wants_debug_events: await file.debug_event(…)`.
        """
        if self.wants_debug_events:
            await self.driver.debug_event(event)
