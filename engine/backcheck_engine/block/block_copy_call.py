"""One pass of copying over a range: which chunk comes next, how many are in flight, how fast, and when to stop.

What a chunk is and where its clusters are meanwhile, is in `block_copy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from backcheck_engine.block.block_copy import CHUNK_BYTES, BlockCopy, Chunk, CopyArea, CopyFailure, CopyMethod
from backcheck_engine.block.compressed_copy import CompressedCopy
from backcheck_engine.block.eager import start_eagerly
from backcheck_engine.block.scattered_copy import ScatteredCopy

LONG_ZERO_BYTES: Final = 256 * 1024 * 1024
"""The longest zero write in one piece."""
LONG_ZERO_FROM_BYTES: Final = 16 * 1024 * 1024
"""From which length on a zero area is written in pieces longer than a chunk."""
SCATTERED_BYTES: Final = 64 * 1024
"""Up to which length chunks that are apart from each other are copied in one go."""
TOGETHER_BYTES: Final = 2 * CHUNK_BYTES
"""How much is copied in one go."""
WORKERS_TOGETHER: Final = 2
"""How many such copies are in flight."""
COMPRESSED_BYTES: Final = 2 * 1024 * 1024
"""How much is compressed in one go."""
WORKERS_COMPRESSING: Final = 3
"""How many such copies are in flight: one is read or written while two are compressed."""
CHUNKS_AT_A_STRETCH: Final = 32
"""After so many chunks that did not have to wait, others get their turn."""
WORKERS: Final = 16
"""How many chunks are in flight at most, each with a buffer: more would not be faster, but make guests wait."""


def guarding_call(state: BlockCopy, offset: int, length: int) -> BlockCopyCall | None:
    """The pass after which no cluster that the range touches is still to copy; None when it is so already."""
    start = offset // state.cluster_size * state.cluster_size
    end = min(-(-(offset + length) // state.cluster_size) * state.cluster_size, state.size)
    if start >= end or state.is_done(start, end - start):
        return None
    workers = WORKERS if end - start > state.chunk_bytes else 1
    return BlockCopyCall(state, start, end - start, max_workers=workers, obeys_rate_limit=False)


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
        paces_as_before_6_0: bool = False,
    ) -> None:
        self._state = state
        self._offset = offset
        self._end = offset + length
        self._max_workers = min(max_workers, WORKERS)
        self._max_chunk = (
            min(max_chunk or state.chunk_bytes, state.chunk_bytes) // state.cluster_size * state.cluster_size
        )
        self._obeys_rate_limit = obeys_rate_limit
        self._is_old_pace = paces_as_before_6_0
        """Whether what fails does not count for the speed limit, and who ends a sleep lets a chunk through."""
        self._long_zeroes = True
        self._together = CompressedCopy(state) if state.compress else ScatteredCopy(state)
        self._workers_together = WORKERS_COMPRESSING if state.compress else WORKERS_TOGETHER
        self._is_together_worthwhile: bool | None = None
        """Asked when it first matters."""
        self._area = CopyArea(start=0, end=0, method=CopyMethod.DATA)
        self._workers: set[asyncio.Task[None]] = set()
        self._chunks_in_flight = 0
        self._chunks_at_a_stretch = 0
        self._failure: CopyFailure | None = None
        self._bug: BaseException | None = None
        """What a worker raised that is not a failed request."""
        self._wakeup = asyncio.Event()
        """Set when a worker is free, and by who cancels or kicks."""
        self._kicked = asyncio.Event()
        """Set by who cancels or kicks: nothing else ends a sleep, not even a failure."""
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
            self.kick()

    def kick(self) -> None:
        """Look at the rate limit again."""
        self._wakeup.set()
        self._kicked.set()

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
            if area.method is CopyMethod.SKIP:
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

    async def _area_at(self, offset: int) -> CopyArea:
        if not self._area.start <= offset < self._area.end:
            self._area = await self._state.area_at(offset, self._end)
        return self._area

    async def _copy_chunk(self, start: int, area: CopyArea) -> bool:
        """Wait for a free worker and for the rate limit, then start a chunk; False if told to stop."""
        while len(self._workers) >= self._max_workers and not self._is_over:
            await self._wait()
        if self._obeys_rate_limit and not self._is_over:
            await self._wait_for_rate_limit()
        if self._is_over:
            return False
        longest = self._long_zero(area, start)
        is_long = longest > 0
        run = self._state.bitmap.next_dirty_run(start, area.end, longest or self._max_chunk)
        if run is None:
            return True
        chunk = self._take(run)
        # As in QEMU, the end of a disk that is less than a cluster is data when it is a chunk of its own.
        method = area.method if chunk.length >= self._state.cluster_size else CopyMethod.DATA
        if self._max_workers == 1:
            await self._work(chunk, method, is_long)
            await asyncio.sleep(0)
            return True
        if method is CopyMethod.DATA and self._goes_together(chunk.length):
            while len(self._workers) >= self._workers_together and not self._is_over:
                await self._wait()
            chunks = self._gather_compressed(chunk, area) if self._state.compress else await self._gather(chunk)
            self._chunks_at_a_stretch += len(chunks) - 1
            work = self._work_together(chunks) if len(chunks) > 1 else self._work(chunk, method, is_long)
        else:
            work = self._work(chunk, method, is_long)
        # Requests reach the source in order, and one that is refused at once stops the pass before more is taken.
        task = start_eagerly(work)
        if task is None:
            await self._be_fair()
        else:
            self._workers.add(task)
            task.add_done_callback(self._worker_is_free)
        return True

    def _take(self, run: tuple[int, int]) -> Chunk:
        chunk = self._state.take(*run)
        if not self._is_old_pace:
            self._state.rate_limit.charge(chunk.length)
        return chunk

    def _goes_together(self, length: int) -> bool:
        """Whether a chunk is so short that several make one request, and nobody minds."""
        state = self._state
        if state.rate_limit.is_limited:
            return False
        if state.compress:
            if length > COMPRESSED_BYTES // 2 or self._max_workers < WORKERS:
                return False
        elif length > SCATTERED_BYTES or self._max_chunk < CHUNK_BYTES:
            return False
        if self._is_together_worthwhile is None:
            self._is_together_worthwhile = self._together.is_worthwhile
        return self._is_together_worthwhile

    def _gather_compressed(self, first: Chunk, area: CopyArea) -> list[Chunk]:
        """Take the clusters of data that follow in the same area, up to `COMPRESSED_BYTES` altogether."""
        chunks, total = [first], first.length
        while not self._is_over and total + self._state.cluster_size <= COMPRESSED_BYTES:
            run = self._state.bitmap.next_dirty_run(chunks[-1].end, area.end, self._max_chunk)
            if run is None:
                break
            chunks.append(self._take(run))
            total += chunks[-1].length
        return chunks

    async def _gather(self, first: Chunk) -> list[Chunk]:
        """Take the short chunks of data that follow, up to `TOGETHER_BYTES` altogether."""
        chunks, total = [first], first.length
        bitmap = self._state.bitmap
        while not self._is_over and total < TOGETHER_BYTES:
            run = bitmap.next_dirty_run(chunks[-1].end, self._end, self._max_chunk)
            if run is None:
                break
            start, length = run
            if length > SCATTERED_BYTES:
                # It may be short all the same, where the source is in short pieces.
                if not self._area.start <= start < self._area.end:
                    # Meanwhile a guest's write may take what was found.
                    await self._area_at(start)
                    continue
                if self._area.method is not CopyMethod.DATA:
                    break
                run = start, length = start, min(length, self._area.end - start)
            if not self._state.cluster_size <= length <= min(SCATTERED_BYTES, TOGETHER_BYTES - total):
                break
            chunks.append(self._take(run))
            total += length
        return chunks

    async def _be_fair(self) -> None:
        """Chunks that end without waiting must not keep everybody else from running for long."""
        self._chunks_at_a_stretch += 1
        if self._chunks_at_a_stretch >= CHUNKS_AT_A_STRETCH:
            self._chunks_at_a_stretch = 0
            await asyncio.sleep(0)

    def _worker_is_free(self, task: asyncio.Task[None]) -> None:
        self._workers.discard(task)
        self._bug = self._bug or task.exception()
        self._wakeup.set()

    def _long_zero(self, area: CopyArea, start: int) -> int:
        """How many zeroes from `start` on go in one piece longer than a chunk, in whole chunks; 0 when they do not."""
        if area.method is not CopyMethod.ZERO or not self._long_zeroes or self._state.rate_limit.is_limited:
            return 0
        if area.end - start < LONG_ZERO_FROM_BYTES or self._max_chunk < CHUNK_BYTES:
            return 0
        return min((area.end - start) // self._max_chunk * self._max_chunk, LONG_ZERO_BYTES)

    async def _work(self, chunk: Chunk, method: CopyMethod, is_long: bool) -> None:
        """Copy one chunk and end it."""
        copied = False
        self._chunks_in_flight += 1
        try:
            failure = await self._state.copy_range(chunk.offset, chunk.length, method)
            copied = failure is None
            if copied:
                if self._is_old_pace:
                    self._state.rate_limit.charge(chunk.length)
                await self._state.discard_copied(chunk.offset, chunk.length)
            elif is_long:
                # In shorter pieces, what can be written is, and the error is that of the piece that cannot.
                self._long_zeroes = False
            elif self._failure is None:
                self._failure = failure
        finally:
            self._chunks_in_flight -= 1
            self._state.give_back(chunk, copied=copied)

    async def _work_together(self, chunks: list[Chunk]) -> None:
        """Copy several chunks and end them."""
        failures: Sequence[CopyFailure | None] = ()
        self._chunks_in_flight += len(chunks)
        try:
            failures = await self._together.copy([(chunk.offset, chunk.length) for chunk in chunks])
            self._failure = self._failure or next(filter(None, failures), None)
        finally:
            self._chunks_in_flight -= len(chunks)
            for index, chunk in enumerate(chunks):
                self._state.give_back(chunk, copied=index < len(failures) and failures[index] is None)

    async def _wait(self) -> None:
        """Wait until a worker is free, or somebody cancels or kicks."""
        self._wakeup.clear()
        await self._wakeup.wait()

    async def _wait_for_rate_limit(self) -> None:
        """Sleep while the speed limit says so."""
        loop = asyncio.get_running_loop()
        while not self._is_over and (delay := self._state.rate_limit.delay_s()) > 0:
            self._kicked.clear()
            timer = loop.call_later(delay, self._kicked.set)
            self.is_sleeping = True
            try:
                await self._kicked.wait()
            finally:
                self.is_sleeping = False
                timer.cancel()
            if self._is_old_pace:
                return
