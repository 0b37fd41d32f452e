"""Copying the content of images into another: what has to be written, several pieces in flight, zeroes left out.

First the block status of all sources is looked up, so that the work is known; then pieces of data are read ahead and
written in order.
"""

import asyncio
import enum
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.progress import Progress
from backcheck_engine.tools.zero_search import is_zero, runs

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

PIECE: Final = 2 * 1024 * 1024
SALVAGE_STEP: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """How to copy."""

    sparse_size: int
    """The shortest run of zeroes that is not written as data; 0 writes everything."""
    compress: bool
    parallel: int
    """How many pieces are read ahead."""
    in_order: bool
    salvage: bool
    """Whether zeroes take the place of what cannot be read."""
    target_is_zero: bool
    rate: int | None
    """Bytes a second, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the target is."""

    is_new: bool
    has_backing: bool


class Kind(enum.Enum):
    """What is to be done about a part of the sources."""

    DATA = enum.auto()
    ZERO = enum.auto()
    NOTHING = enum.auto()
    """The target's backing shows it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A part of the target, and from where in which source it comes."""

    kind: Kind
    source: int
    source_offset: int
    offset: int
    length: int

    def pieces(self, size: int) -> Iterator["Extent"]:
        """The extent in parts of at most `size`."""
        for start in range(0, self.length, size):
            yield Extent(
                kind=self.kind,
                source=self.source,
                source_offset=self.source_offset + start,
                offset=self.offset + start,
                length=min(size, self.length - start),
            )


class Copy:
    """One conversion."""

    def __init__(
        self,
        plan: CopyPlan,
        layout: Layout,
        sources: "Sequence[BlockBackend]",
        target: "BlockBackend",
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._layout = layout
        self._sources = sources
        self._target = target
        self._progress = progress
        node = target.inserted_node()
        info = node.driver.info()
        self._cluster_size = info.cluster_size if info is not None and info.cluster_size else 65536
        self._one_cluster_at_a_time = node.driver.compresses_single_clusters
        self._granularity = max(_power_of_two(plan.sparse_size), node.limits.pwrite_zeroes_alignment, 512)
        self._skips_zeroes = not layout.has_backing and (
            plan.target_is_zero or (layout.is_new and node.driver.has_zero_init())
        )
        self._done = 0
        self._total = 0
        self._started = time.monotonic()

    async def run(self) -> None:
        """Copy everything. Raises ToolError."""
        extents = [extent async for extent in self._extents()]
        self._total = sum(extent.length for extent in extents if extent.kind is Kind.DATA)
        await self._copy(extents)
        if self._plan.compress:
            await self._target.pwrite_compressed(0, b"")
        self._progress.show(1, 1)

    # What there is to do.

    async def _extents(self) -> AsyncIterator[Extent]:
        """The work, in order; neighbours of one kind are one."""
        pending: Extent | None = None
        base = 0
        for index, source in enumerate(self._sources):
            async for extent in self._extents_of(index, base):
                if pending is not None and _continues(pending, extent):
                    pending = _joined(pending, extent)
                    continue
                if pending is not None:
                    yield pending
                pending = extent
            base += source.size
        if pending is not None:
            yield pending

    async def _extents_of(self, index: int, base: int) -> AsyncIterator[Extent]:
        offset, size = 0, self._sources[index].size
        backing_end = self._target_backing_end()
        while offset < size:
            longest = size - offset
            if base + offset < backing_end:
                longest = min(longest, backing_end - base - offset)
            status = await self._status(index, offset, longest)
            behind_backing = self._layout.has_backing and base + offset >= backing_end
            kind, length = self._kind(status, behind_backing=behind_backing), status.length
            if self._plan.compress:
                # Only whole clusters can be compressed: one that has data anywhere is data.
                kind = kind if length >= self._cluster_size else Kind.DATA
                length = min(max(length // self._cluster_size, 1) * self._cluster_size, size - offset)
            yield Extent(kind=kind, source=index, source_offset=offset, offset=base + offset, length=length)
            offset += length

    def _target_backing_end(self) -> int:
        below = self._target.inserted_node().overlaid if self._layout.has_backing else None
        return below.size if below is not None else 0

    async def _status(self, index: int, offset: int, length: int) -> BlockStatus:
        node = self._sources[index].inserted_node()
        try:
            if self._layout.has_backing:
                return await node.skip_filters().block_status(offset, length)
            return await node.block_status_above(None, offset, length)
        except BlockError as error:
            if self._plan.salvage:
                return BlockStatus(length=min(length, SALVAGE_STEP), data=True)
            raise ToolError(f"error while reading block status at offset {offset}: {error}") from error

    def _kind(self, status: BlockStatus, *, behind_backing: bool) -> Kind:
        if status.zero:
            if behind_backing:
                return Kind.NOTHING
            return Kind.ZERO if self._plan.sparse_size else Kind.DATA
        if status.data or not self._layout.has_backing:
            return Kind.DATA
        return Kind.NOTHING

    # Doing it.

    async def _copy(self, extents: Sequence[Extent]) -> None:
        """Read ahead and write; writes are in order unless the plan says otherwise."""
        reading: deque[tuple[Extent, asyncio.Task[Buffer]]] = deque()
        writing: set[asyncio.Task[None]] = set()
        try:
            for extent in extents:
                if extent.kind is Kind.DATA:
                    for piece in extent.pieces(PIECE):
                        if len(reading) >= self._plan.parallel:
                            await self._write_next(reading, writing)
                        reading.append((piece, asyncio.create_task(self._read(piece))))
                elif extent.kind is Kind.ZERO and not self._skips_zeroes:
                    while reading:
                        await self._write_next(reading, writing)
                    await self._write_zeroes(extent.offset, extent.length)
            while reading:
                await self._write_next(reading, writing)
            await asyncio.gather(*writing)
        except BaseException:
            # Requests in threads use buffers and files: they must end before anything is closed.
            await asyncio.gather(*(task for _, task in reading), *writing, return_exceptions=True)
            raise

    async def _write_next(
        self, reading: "deque[tuple[Extent, asyncio.Task[Buffer]]]", writing: "set[asyncio.Task[None]]"
    ) -> None:
        extent, task = reading.popleft()
        data = await task
        if self._plan.in_order:
            await self._store(extent, data)
            return
        while len(writing) >= self._plan.parallel:
            done, _ = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
            writing -= done
            await asyncio.gather(*done)
        writing.add(asyncio.create_task(self._store(extent, data)))

    async def _read(self, extent: Extent) -> Buffer:
        source = self._sources[extent.source]
        try:
            return await source.pread(extent.source_offset, extent.length)
        except BlockError as error:
            if self._plan.salvage:
                return await self._salvage(source, extent)
            raise ToolError(f"error while reading at byte {extent.offset}: {error}") from error

    async def _salvage(self, source: "BlockBackend", extent: Extent) -> Buffer:
        data = bytearray(extent.length)
        for start in range(0, extent.length, SALVAGE_STEP):
            length = min(SALVAGE_STEP, extent.length - start)
            try:
                data[start : start + length] = await source.pread(extent.source_offset + start, length)
            except BlockError:
                continue
        return data

    async def _store(self, extent: Extent, data: Buffer) -> None:
        try:
            if self._plan.compress:
                await self._store_compressed(extent.offset, data)
            elif not self._plan.sparse_size:
                await self._target.pwrite(extent.offset, data)
            else:
                await self._store_sparsely(extent.offset, data)
        except BlockError as error:
            raise ToolError(f"error while writing at byte {extent.offset}: {error}") from error
        self._done += extent.length
        self._progress.show(self._done, self._total)
        await self._keep_to_rate()

    async def _store_sparsely(self, offset: int, data: Buffer) -> None:
        view = memoryview(data)
        for start, length, has_data in runs(data, offset, self._granularity):
            if has_data:
                await self._target.pwrite(offset + start, view[start : start + length])
            elif not self._skips_zeroes:
                await self._write_zeroes(offset + start, length)

    async def _store_compressed(self, offset: int, data: Buffer) -> None:
        """Clusters that follow each other go in one request: they are compressed side by side."""
        view, size = memoryview(data), self._cluster_size
        for is_zeroes, group in groupby(range(0, len(view), size), lambda at: self._is_left_out(view[at : at + size])):
            part = list(group)
            start, end = part[0], min(part[-1] + size, len(view))
            if not is_zeroes:
                step = size if self._one_cluster_at_a_time else end - start
                for at in range(start, end, step):
                    await self._target.pwrite_compressed(offset + at, view[at : min(at + step, end)])
            elif not self._skips_zeroes:
                await self._write_zeroes(offset + start, end - start)

    def _is_left_out(self, cluster: memoryview) -> bool:
        return bool(self._plan.sparse_size) and is_zero(cluster)

    async def _write_zeroes(self, offset: int, length: int) -> None:
        try:
            await self._target.pwrite_zeroes(offset, length, RequestFlag.MAY_UNMAP)
        except BlockError as error:
            raise ToolError(f"error while writing at byte {offset}: {error}") from error

    async def _keep_to_rate(self) -> None:
        if self._plan.rate:
            ahead = self._done / self._plan.rate - (time.monotonic() - self._started)
            await asyncio.sleep(max(0.0, ahead))


def _continues(one: Extent, other: Extent) -> bool:
    return one.kind is other.kind and one.source == other.source


def _joined(one: Extent, other: Extent) -> Extent:
    return Extent(
        kind=one.kind,
        source=one.source,
        source_offset=one.source_offset,
        offset=one.offset,
        length=one.length + other.length,
    )


def _power_of_two(number: int) -> int:
    return 1 << (number.bit_length() - 1) if number else 0
