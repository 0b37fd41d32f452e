"""Copying a disk at one point in time: what is still to copy, what is in flight, and who waits for whom.

One `BlockCopy` is shared by a job, which copies in the background, and by the filter above the source, which copies a
cluster before a guest's write changes it. A cluster is in one of three places: marked in the bitmap (still to copy),
in a chunk in flight, or done. Taking a chunk moves it from the first to the second without an await between, so a
cluster is copied exactly once; a chunk that fails goes back to the bitmap, and whoever waited for it tries again.

A cluster that is still marked holds what it held at the start, so the block status of a run of such clusters stays true
however long the copying takes; a run is asked for once, and not again for each chunk.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import Final

from backcheck_engine.block.child import Child
from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.eager import start_eagerly
from backcheck_engine.block.rate_limit import RateLimit
from backcheck_engine.block.request import RequestFlag
from backcheck_engine.errors import BlockError

DEFAULT_CLUSTER_SIZE: Final = 64 * 1024
CHUNK_BYTES: Final = 1024 * 1024
"""The longest copy of data in one piece."""
STATUS_RUN_BYTES: Final = 1024 * 1024 * 1024
"""How far ahead the block status is asked for."""
LONG_ZERO_BYTES: Final = 256 * 1024 * 1024
"""The longest zero write in one piece."""
LONG_ZERO_FROM_BYTES: Final = 16 * 1024 * 1024
"""From which length on a zero area is written in pieces longer than a chunk."""
WORKERS: Final = 16
"""How many chunks are in flight at most, each with a buffer: more would not be faster, but make guests wait."""


class _Method(enum.Enum):
    """How an area gets to the target."""

    ZERO = enum.auto()
    DATA = enum.auto()
    SKIP = enum.auto()
    """Not at all: the area belongs to a layer that is not copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Area:
    """A range of the source, in whole clusters, that is copied by one method."""

    start: int
    end: int
    method: _Method


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFailure:
    """Why a chunk could not be copied."""

    error: BlockError
    is_read: bool
    """Whether the source failed, not the target."""


class _Chunk:
    """A range in flight."""

    __slots__ = ("_done", "end", "length", "offset")

    def __init__(self, offset: int, length: int) -> None:
        self.offset = offset
        self.length = length
        self.end = offset + length
        self._done: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait until the chunk is copied or has failed."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._done)

    def finish(self) -> None:
        """Wake those who wait."""
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


@dataclass(slots=True, kw_only=True)
class Progress:
    """How many bytes a job has done, and how many it still has to do; both in whole clusters."""

    current: int = 0
    remaining: int = 0

    @property
    def total(self) -> int:
        return self.current + self.remaining


class BlockCopy:
    """The state that one copy-before-write filter and at most one job share."""

    def __init__(self, source: Child, target: Child, *, cluster_size: int, discard_source: bool = False) -> None:
        self.source: Final = source
        self.target: Final = target
        self.cluster_size: Final = cluster_size
        self.size: Final = source.node.size
        self.bitmap: Final = DirtyBitmap(self.size, cluster_size, recording=False)
        """What is still to copy: at first everything."""
        self.bitmap.set(0, self.size)
        self.progress = Progress()
        self.skip_unallocated = False
        """Leave out what the source's own layer does not hold."""
        self.compress = False
        self.discard_source = discard_source
        self.rate_limit: Final = RateLimit(asyncio.get_running_loop().time)
        self._in_flight: dict[_Chunk, None] = {}
        is_fleecing = source.node in target.node.backing_chain()
        self._write_flags = RequestFlag.SERIALISING if is_fleecing else RequestFlag.NONE

    @property
    def chunk_bytes(self) -> int:
        """The longest range of data copied in one piece."""
        return self.cluster_size if self.compress else max(self.cluster_size, CHUNK_BYTES)

    @property
    def in_flight_bytes(self) -> int:
        """Whole clusters that are being copied now."""
        return sum(self._clusters(chunk.length) for chunk in self._in_flight)

    def reset_progress(self) -> None:
        """Count anew what remains: what is marked and what is in flight."""
        self.progress.remaining = self.bitmap.count + self.in_flight_bytes

    def is_done(self, offset: int, length: int) -> bool:
        """Whether nothing in the range has to be copied or is being copied."""
        return self.bitmap.next_dirty(offset, offset + length) is None and self.chunk_in_flight(offset, length) is None

    def chunk_in_flight(self, offset: int, length: int) -> _Chunk | None:
        """A chunk in flight that overlaps the range."""
        end = offset + length
        return next((chunk for chunk in self._in_flight if chunk.offset < end and offset < chunk.end), None)

    async def copy_before_write(self, offset: int, length: int) -> None:
        """Return when no cluster that the range touches is still to copy. Raises BlockError."""
        start = offset // self.cluster_size * self.cluster_size
        end = min(-(-(offset + length) // self.cluster_size) * self.cluster_size, self.size)
        if start >= end or self.is_done(start, end - start):
            return
        workers = WORKERS if end - start > self.chunk_bytes else 1
        call = BlockCopyCall(self, start, end - start, max_workers=workers, obeys_rate_limit=False)
        failure = await call.run()
        if failure is not None:
            raise failure.error

    def take(self, offset: int, length: int) -> _Chunk:
        """Move marked clusters into flight."""
        chunk = _Chunk(offset, length)
        self.bitmap.clear(offset, length)
        self._in_flight[chunk] = None
        return chunk

    def give_back(self, chunk: _Chunk, *, copied: bool) -> None:
        """End a chunk: it is done, or it is to copy again."""
        del self._in_flight[chunk]
        if copied:
            self.progress.current += self._clusters(chunk.length)
        else:
            self.bitmap.set(chunk.offset, chunk.length)
        self.reset_progress()
        chunk.finish()

    def skip(self, offset: int, length: int) -> None:
        """Forget marked clusters without copying them."""
        self.bitmap.clear(offset, length)
        self.reset_progress()

    async def area_at(self, offset: int, end: int) -> _Area:
        """How to copy the clusters from `offset` on, as far as they are alike."""
        source = self.source.node
        base = source.skip_filters().overlaid if self.skip_unallocated else None
        try:
            status = await source.block_status_above(base, offset, min(end - offset, STATUS_RUN_BYTES))
        except BlockError:
            # Whether the range can be read is found out by reading it.
            return _Area(start=offset, end=min(offset + self.chunk_bytes, end), method=_Method.DATA)
        alike_end = offset + status.length
        if alike_end < self.size:
            alike_end = alike_end // self.cluster_size * self.cluster_size
        if alike_end <= offset:
            return _Area(start=offset, end=min(offset + self.cluster_size, end), method=_Method.DATA)
        method = _Method.ZERO if status.zero else _Method.DATA
        if self.skip_unallocated and not status.allocated:
            method = _Method.SKIP
        return _Area(start=offset, end=min(alike_end, end), method=method)

    async def copy_range(self, offset: int, length: int, method: _Method) -> CopyFailure | None:
        """Copy a range, whatever the bitmap says; the failure, if it failed."""
        if method is _Method.ZERO:
            return await self._write_zeroes(offset, length)
        try:
            data = await self.source.node.pread(offset, length)
        except BlockError as error:
            return CopyFailure(error=error, is_read=True)
        flags = self._write_flags | (RequestFlag.WRITE_COMPRESSED if self.compress else RequestFlag.NONE)
        try:
            await self.target.node.pwrite(offset, data, flags)
        except BlockError as error:
            return CopyFailure(error=error, is_read=False)
        return None

    async def discard_copied(self, offset: int, length: int) -> None:
        """Let the source forget a copied range, when that is wanted; it need not."""
        if self.discard_source:
            try:
                await self.source.node.discard(offset, length)
            except BlockError:
                # The copy is complete; what the source keeps does no harm.
                return

    async def _write_zeroes(self, offset: int, length: int) -> CopyFailure | None:
        try:
            await self.target.node.pwrite_zeroes(offset, length, self._write_flags)
        except BlockError as error:
            return CopyFailure(error=error, is_read=False)
        return None

    def _clusters(self, length: int) -> int:
        """A length in whole clusters."""
        return -(-length // self.cluster_size) * self.cluster_size


class BlockCopyCall:
    """One pass over a range: copies every cluster that is marked in it, and waits for those in flight.

    The pass ends at its first failure, after what is in flight has ended, or when it is cancelled.
    """

    def __init__(
        self,
        state: BlockCopy,
        offset: int,
        length: int,
        *,
        max_workers: int = WORKERS,
        max_chunk: int = 0,
        obeys_rate_limit: bool = True,
    ) -> None:
        self._state = state
        self._offset = offset
        self._end = offset + length
        self._max_workers = min(max_workers, WORKERS)
        self._max_chunk = (
            min(max_chunk or state.chunk_bytes, state.chunk_bytes) // state.cluster_size * state.cluster_size
        )
        self._obeys_rate_limit = obeys_rate_limit
        self._long_zeroes = True
        self._area = _Area(start=0, end=0, method=_Method.DATA)
        self._workers: set[asyncio.Task[None]] = set()
        self._chunks_in_flight = 0
        self._failure: CopyFailure | None = None
        self._bug: BaseException | None = None
        """What a worker raised that is not a failed request."""
        self._wakeup = asyncio.Event()
        self.is_cancelled = False
        self.is_sleeping = False
        """Whether the pass waits for the rate limit."""

    @property
    def is_copying(self) -> bool:
        """Whether chunks of this pass are in flight."""
        return self._chunks_in_flight > 0

    def cancel(self, *, wake: bool = True) -> None:
        """Take no more chunks; the pass ends when those in flight have ended, and what it sleeps, unless woken."""
        self.is_cancelled = True
        if wake:
            self._wakeup.set()

    def kick(self) -> None:
        """Look at the rate limit again."""
        self._wakeup.set()

    async def run(self) -> CopyFailure | None:
        """Do the pass; its first failure, or None when it is done or was cancelled."""
        state, length = self._state, self._end - self._offset
        while True:
            await self._copy_marked()
            if self._failure is not None or self.is_cancelled:
                return self._failure
            chunk = state.chunk_in_flight(self._offset, length)
            if chunk is not None:
                await chunk.wait()
            elif state.bitmap.next_dirty(self._offset, self._end) is None:
                return None

    async def _copy_marked(self) -> None:
        """Take chunks until nothing is marked, one fails or the pass is cancelled; then wait for them."""
        offset = self._offset
        while (start := self._state.bitmap.next_dirty(offset, self._end)) is not None and not self._is_over:
            area = await self._area_at(start)
            if area.method is _Method.SKIP:
                self._state.skip(start, area.end - start)
            elif not await self._copy_chunk(start, area):
                # The chunk may have been taken by a guest's write meanwhile.
                continue
            offset = start
        while self._workers:
            await self._wait()
        if self._bug is not None:
            raise self._bug

    @property
    def _is_over(self) -> bool:
        return self.is_cancelled or self._failure is not None or self._bug is not None

    async def _area_at(self, offset: int) -> _Area:
        if not self._area.start <= offset < self._area.end:
            self._area = await self._state.area_at(offset, self._end)
        return self._area

    async def _copy_chunk(self, start: int, area: _Area) -> bool:
        """Wait for a free worker and for the rate limit, then start a chunk; False if told to stop."""
        while len(self._workers) >= self._max_workers and not self._is_over:
            await self._wait()
        if self._obeys_rate_limit and not self._is_over:
            await self._wait_for_rate_limit()
        if self._is_over:
            return False
        is_long = self._is_long_zero(area, start)
        run = self._state.bitmap.next_dirty_run(start, area.end, LONG_ZERO_BYTES if is_long else self._max_chunk)
        if run is None:
            return True
        chunk = self._state.take(*run)
        self._state.rate_limit.charge(chunk.length)
        if self._max_workers == 1:
            await self._work(chunk, area.method, is_long)
            await asyncio.sleep(0)
            return True
        # Requests reach the source in order, and one that is refused at once stops the pass before more is taken.
        task = start_eagerly(self._work(chunk, area.method, is_long))
        if task is None:
            # Drivers that never wait must not keep everybody else from running.
            await asyncio.sleep(0)
        else:
            self._workers.add(task)
            task.add_done_callback(self._worker_is_free)
        return True

    def _worker_is_free(self, task: asyncio.Task[None]) -> None:
        self._workers.discard(task)
        self._bug = self._bug or task.exception()
        self._wakeup.set()

    def _is_long_zero(self, area: _Area, start: int) -> bool:
        """Whether zeroes from `start` on go in pieces longer than a chunk."""
        if area.method is not _Method.ZERO or not self._long_zeroes or self._state.rate_limit.is_limited:
            return False
        return area.end - start >= LONG_ZERO_FROM_BYTES and self._max_chunk >= CHUNK_BYTES

    async def _work(self, chunk: _Chunk, method: _Method, is_long: bool) -> None:
        """Copy one chunk and end it."""
        copied = False
        self._chunks_in_flight += 1
        try:
            failure = await self._state.copy_range(chunk.offset, chunk.length, method)
            copied = failure is None
            if copied:
                await self._state.discard_copied(chunk.offset, chunk.length)
            elif is_long:
                # In shorter pieces, what can be written is, and the error is that of the piece that cannot.
                self._long_zeroes = False
            elif self._failure is None:
                self._failure = failure
        finally:
            self._chunks_in_flight -= 1
            self._state.give_back(chunk, copied=copied)

    async def _wait(self) -> None:
        """Wait until a worker is free, or somebody cancels or kicks."""
        self._wakeup.clear()
        await self._wakeup.wait()

    async def _wait_for_rate_limit(self) -> None:
        """Sleep while the speed limit says so."""
        loop = asyncio.get_running_loop()
        while not self._is_over and (delay := self._state.rate_limit.delay_s()) > 0:
            self._wakeup.clear()
            timer = loop.call_later(min(delay, 3600.0), self._wakeup.set)
            self.is_sleeping = True
            try:
                await self._wakeup.wait()
            finally:
                self.is_sleeping = False
                timer.cancel()
