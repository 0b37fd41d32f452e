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
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.child import Child
from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.rate_limit import RateLimit
from backcheck_engine.block.request import MAX_REQUEST_BYTES, Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.tracing import (
    BLOCK_COPY_PROCESS,
    BLOCK_COPY_READ_FAIL,
    BLOCK_COPY_SKIP_RANGE,
    BLOCK_COPY_WRITE_FAIL,
    BLOCK_COPY_WRITE_ZEROES_FAIL,
)

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

DEFAULT_CLUSTER_SIZE: Final = 64 * 1024
CHUNK_BYTES: Final = 1024 * 1024
"""The longest copy of data in one piece."""
OFFLOADED_CHUNK_BYTES: Final = 16 * 1024 * 1024
"""The longest copy in one piece that the host's kernel makes, once it has made one."""
STATUS_RUN_BYTES: Final = 1024 * 1024 * 1024
"""How far ahead the block status is asked for."""


class CopyMethod(enum.Enum):
    """How an area gets to the target."""

    ZERO = enum.auto()
    DATA = enum.auto()
    SKIP = enum.auto()
    """Not at all: the area belongs to a layer that is not copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyArea:
    """A range of the source, in whole clusters, that is copied by one method."""

    start: int
    end: int
    method: CopyMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFailure:
    """Why a chunk could not be copied."""

    error: BlockError
    is_read: bool
    """Whether the source failed, not the target."""


class Chunk:
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


def _longest_request(source: Node, target: Node) -> int:
    """The longest request that both nodes take."""
    return min(filter(None, (source.limits.max_transfer, target.limits.max_transfer)), default=MAX_REQUEST_BYTES)


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
        self.asks_kernel = False
        """Have the host's kernel copy data, until it cannot for the first time."""
        self._has_offloaded = False
        self.discard_source = discard_source
        self.rate_limit: Final = RateLimit(asyncio.get_running_loop().time)
        self._in_flight: dict[Chunk, None] = {}
        self.in_flight_bytes = 0
        """What is being copied now, in whole clusters."""
        is_fleecing = source.node in target.node.backing_chain()
        self._write_flags = RequestFlag.SERIALISING if is_fleecing else RequestFlag.NONE
        longest = _longest_request(source.node, target.node) // cluster_size * cluster_size
        self._offloaded_chunk_bytes: Final = min(max(cluster_size, OFFLOADED_CHUNK_BYTES), longest)

    @property
    def offloads(self) -> bool:
        """Whether data is copied where nobody looks at it, and only by hand if that fails."""
        return self.asks_kernel and not self.compress and self._offloaded_chunk_bytes > 0

    @property
    def chunk_bytes(self) -> int:
        """The longest range of data copied in one piece."""
        if self.compress:
            return self.cluster_size
        if self.offloads and self._has_offloaded:
            return self._offloaded_chunk_bytes
        return max(self.cluster_size, CHUNK_BYTES)

    @property
    def writes_plainly(self) -> bool:
        """Whether data is just written, and nothing else is done with it or with the source."""
        return not self.compress and not self.offloads and self.only_copies

    @property
    def only_copies(self) -> bool:
        """Whether nothing is done with the source but reading, and guests' writes and the copy's do not meet."""
        return not self.discard_source and self._write_flags is RequestFlag.NONE

    def reset_progress(self) -> None:
        """Count anew what remains: what is marked and what is in flight."""
        self.progress.remaining = self.bitmap.count + self.in_flight_bytes

    def is_done(self, offset: int, length: int) -> bool:
        """Whether nothing in the range has to be copied or is being copied."""
        return self.bitmap.next_dirty(offset, offset + length) is None and self.chunk_in_flight(offset, length) is None

    def chunk_in_flight(self, offset: int, length: int) -> Chunk | None:
        """A chunk in flight that overlaps the range."""
        end = offset + length
        return next((chunk for chunk in self._in_flight if chunk.offset < end and offset < chunk.end), None)

    def take(self, offset: int, length: int) -> Chunk:
        """Move marked clusters into flight."""
        if BLOCK_COPY_PROCESS.is_on:
            BLOCK_COPY_PROCESS(self, offset)
        chunk = Chunk(offset, length)
        self.bitmap.clear(offset, length)
        self._in_flight[chunk] = None
        self.in_flight_bytes += self._clusters(length)
        return chunk

    def give_back(self, chunk: Chunk, *, copied: bool) -> None:
        """End a chunk: it is done, or it is to copy again."""
        del self._in_flight[chunk]
        length = self._clusters(chunk.length)
        self.in_flight_bytes -= length
        if copied:
            self.progress.current += length
        else:
            self.bitmap.set(chunk.offset, chunk.length)
        self.reset_progress()
        chunk.finish()

    def skip(self, offset: int, length: int) -> None:
        """Forget marked clusters without copying them."""
        if BLOCK_COPY_SKIP_RANGE.is_on:
            BLOCK_COPY_SKIP_RANGE(self, offset, length)
        self.forget(offset, length)

    def forget(self, offset: int, length: int) -> None:
        """Whatever is marked in a range need not be copied any more."""
        self.bitmap.clear(offset, length)
        self.reset_progress()

    async def leave_out_unallocated(self, offset: int) -> int:
        """Forget the clusters from `offset` on that the source's own layer does not hold, as far as they are alike.

        Returns for how many bytes that is settled, in whole clusters. A cluster that is held in part is copied.
        Raises BlockError.
        """
        seen, is_held = 0, False
        while not is_held and seen < self.cluster_size:
            is_held, length = await self.source.node.is_allocated(offset + seen, self.size - offset - seen)
            seen += length
            if not length:
                break
        if is_held or seen < self.cluster_size:
            seen = self._clusters(seen)
        else:
            seen -= seen % self.cluster_size
        if not is_held:
            self.skip(offset, seen)
        return seen

    async def area_at(self, offset: int, end: int) -> CopyArea:
        """How to copy the clusters from `offset` on, as far as they are alike."""
        source = self.source.node
        base = source.skip_filters().overlaid if self.skip_unallocated else None
        run = self.bitmap.next_dirty_run(offset, end, STATUS_RUN_BYTES)
        marked_end = offset + (run[1] if run is not None and run[0] == offset else self.cluster_size)
        try:
            status = await source.block_status_above(base, offset, min(end - offset, STATUS_RUN_BYTES))
        except BlockError:
            # Whether the range can be read is found out by reading it.
            return CopyArea(start=offset, end=min(offset + self.chunk_bytes, end), method=CopyMethod.DATA)
        alike_end = offset + status.length
        if alike_end < self.size:
            alike_end = alike_end // self.cluster_size * self.cluster_size
        if alike_end <= offset:
            return CopyArea(start=offset, end=min(offset + self.cluster_size, end), method=CopyMethod.DATA)
        method = CopyMethod.ZERO if status.zero else CopyMethod.DATA
        if self.skip_unallocated and not status.allocated:
            method = CopyMethod.SKIP
        if method is not CopyMethod.DATA:
            # Only data is taken in chunks that end where the marks do.
            alike_end = min(alike_end, marked_end)
        return CopyArea(start=offset, end=min(alike_end, end), method=method)

    async def copy_range(self, offset: int, length: int, method: CopyMethod) -> CopyFailure | None:
        """Copy a range, whatever the bitmap says; the failure, if it failed."""
        if method is CopyMethod.ZERO:
            return await self._write_zeroes(offset, length)
        if self.offloads and await self._offload(offset, length):
            return None
        data = await self.read(offset, length)
        return data if isinstance(data, CopyFailure) else await self.write(offset, data)

    async def _offload(self, offset: int, length: int) -> bool:
        """Have the host's kernel copy; False where it cannot, which it is not asked again."""
        try:
            await self.source.node.copy_range_from(offset, length, self.target.node, offset, self._write_flags)
        except BlockError:
            # Reading and writing tells what is wrong, if anything is.
            self.asks_kernel = False
            return False
        self._has_offloaded = True
        return True

    async def read(self, offset: int, length: int) -> Buffer | CopyFailure:
        """What the source holds."""
        try:
            return await self.source.node.pread(offset, length)
        except BlockError as error:
            if BLOCK_COPY_READ_FAIL.is_on:
                BLOCK_COPY_READ_FAIL(self, offset, -error.errno)
            return CopyFailure(error=error, is_read=True)

    async def write(self, offset: int, data: Buffer) -> CopyFailure | None:
        """Write to the target; the failure, if it failed."""
        flags = self._write_flags | (RequestFlag.WRITE_COMPRESSED if self.compress else RequestFlag.NONE)
        try:
            await self.target.node.pwrite(offset, data, flags)
        except BlockError as error:
            if BLOCK_COPY_WRITE_FAIL.is_on:
                BLOCK_COPY_WRITE_FAIL(self, offset, -error.errno)
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
            if BLOCK_COPY_WRITE_ZEROES_FAIL.is_on:
                BLOCK_COPY_WRITE_ZEROES_FAIL(self, offset, -error.errno)
            return CopyFailure(error=error, is_read=False)
        return None

    def _clusters(self, length: int) -> int:
        """A length in whole clusters."""
        return -(-length // self.cluster_size) * self.cluster_size
