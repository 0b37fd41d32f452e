"""Tracked requests: what is in flight on a node, and who waits for whom when ranges overlap.

A serialising request waits for every overlapping one that is older, and every request waits for overlapping serialising
ones. A range is checked and entered without an await between, so that the older request always goes first and nobody
waits in a circle.
"""

import asyncio
import enum
from collections.abc import Sequence

from backcheck_engine.block.request import Range


class RequestKind(enum.Enum):
    """What a tracked request does."""

    READ = enum.auto()
    WRITE = enum.auto()
    DISCARD = enum.auto()
    TRUNCATE = enum.auto()


class TrackedRequest:
    """One request in flight on a node, with the range in which it must not be overtaken."""

    __slots__ = ("_done", "kind", "overlap_end", "overlap_start", "serialising", "waiting_for")

    def __init__(self, kind: RequestKind, offset: int, length: int) -> None:
        self.kind = kind
        self.overlap_start = offset
        self.overlap_end = offset + length
        self.serialising = False
        self.waiting_for: TrackedRequest | None = None
        self._done: asyncio.Future[None] | None = None

    def overlaps(self, start: int, end: int) -> bool:
        """Whether the two ranges have a byte in common."""
        return self.overlap_start < end and start < self.overlap_end

    def waiter(self) -> "asyncio.Future[None]":
        """A future that is done when this request is."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        return self._done

    def finish(self) -> None:
        """Let those go who wait for this request."""
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class ScatteredRequest(TrackedRequest):
    """Separate ranges, in any order, that begin and end together. It waits for nobody."""

    __slots__ = ("_ranges",)

    def __init__(self, kind: RequestKind, ranges: Sequence[Range]) -> None:
        super().__init__(kind, *ranges[0])
        self._ranges = ranges

    def overlaps(self, start: int, end: int) -> bool:
        return any(offset < end and start < offset + length for offset, length in self._ranges)


class RequestTracker:
    """The requests in flight on one node."""

    __slots__ = ("requests", "serialising_count")

    def __init__(self) -> None:
        self.requests: dict[TrackedRequest, None] = {}
        self.serialising_count = 0

    def begin(self, kind: RequestKind, offset: int, length: int) -> TrackedRequest:
        """Enter a request; call `end` with it whatever happens."""
        return self._enter(TrackedRequest(kind, offset, length))

    def begin_scattered(self, kind: RequestKind, ranges: Sequence[Range]) -> TrackedRequest:
        """`begin` for separate ranges at once."""
        return self._enter(ScatteredRequest(kind, ranges))

    def _enter(self, request: TrackedRequest) -> TrackedRequest:
        self.requests[request] = None
        return request

    def end(self, request: TrackedRequest) -> None:
        """Remove a request and wake those who wait for it."""
        del self.requests[request]
        if request.serialising:
            self.serialising_count -= 1
        request.finish()

    def make_serialising(self, request: TrackedRequest, alignment: int) -> None:
        """From now on `request` holds its range, widened to `alignment`, for itself."""
        if not request.serialising:
            request.serialising = True
            self.serialising_count += 1
        start = request.overlap_start // alignment * alignment
        end = -(-request.overlap_end // alignment) * alignment
        request.overlap_start = min(request.overlap_start, start)
        request.overlap_end = max(request.overlap_end, end)

    def conflict(self, request: TrackedRequest) -> TrackedRequest | None:
        """A request that `request` has to wait for, or None."""
        if not self.serialising_count:
            return None
        for other in self.requests:
            if other is request or not (other.serialising or request.serialising):
                continue
            if not other.overlaps(request.overlap_start, request.overlap_end):
                continue
            if other.waiting_for is not request and not _waits_for(other, request):
                return other
        return None

    async def wait(self, request: TrackedRequest) -> None:
        """Wait until no request is in the way of `request`."""
        while (other := self.conflict(request)) is not None:
            request.waiting_for = other
            try:
                await asyncio.shield(other.waiter())
            finally:
                request.waiting_for = None


def _waits_for(waiter: TrackedRequest, target: TrackedRequest) -> bool:
    """Whether `waiter` already waits, directly or through others, for `target`."""
    step = waiter.waiting_for
    while step is not None:
        if step is target:
            return True
        step = step.waiting_for
    return False
