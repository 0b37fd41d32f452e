"""Reading, writing and flushing a node: bounds, padding, serialising, splitting, fallbacks.

A driver sees only aligned requests, inside the image (or growing it), no longer than it can take.
"""

import asyncio
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from backcheck_engine.block.driver import Driver, DriverKind, Limits
from backcheck_engine.block.node_bitmaps import NodeBitmaps
from backcheck_engine.block.padding import Padding, is_aligned
from backcheck_engine.block.request import (
    MAX_IMAGE_BYTES,
    MAX_REQUEST_BYTES,
    SECTOR_SIZE,
    Buffer,
    RequestFlag,
)
from backcheck_engine.block.tracking import RequestKind, RequestTracker, TrackedRequest
from backcheck_engine.block.zeroes import MAX_BOUNCE_BUFFER, is_zero, pieces_to_zero
from backcheck_engine.errors import BlockError
from backcheck_engine.tracing import BDRV_CO_PREADV, BDRV_CO_PWRITEV

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node

NONE = RequestFlag.NONE
_DRIVER_WRITE_FLAGS = RequestFlag.FUA | RequestFlag.SERIALISING | RequestFlag.WRITE_UNCHANGED


@dataclass(slots=True)
class DiscardCounts:
    """What became of the discards that reached a node's driver."""

    done: int = 0
    failed: int = 0
    bytes_done: int = 0


class NodeRequests:
    """What `Node` is to those who read, write and flush. Every method raises BlockError when the request fails."""

    graph: "Graph"
    driver: Driver

    def __init__(self) -> None:
        self.read_only = False
        self.limits = Limits()
        self.cached_size = -1
        """The size rounded up to sectors; -1 when it has to be asked for."""
        self.in_flight = 0
        self.drain_count = 0
        self.tracker = RequestTracker()
        self.detect_zeroes = "off"
        """"off", "on" or "unmap"."""
        self.copies_on_read = False
        """Whether what is read from below is stored here."""
        self.discard_mode = "ignore"
        """"ignore" or "unmap"."""
        self.no_flush = False
        self.bitmaps = NodeBitmaps(self._node)
        self.wants_debug_events = False
        """Whether `debug_event` does anything; ask before calling it."""
        self.event_sink: Node | None = None
        """The primary child, when it wants debug events."""
        self.write_generation = 0
        self.highest_write = 0
        """Where the write that reached farthest ended, in bytes."""
        self.discards = DiscardCounts()
        self._flushed_generation = 0
        self._flush_lock: asyncio.Lock | None = None

    @property
    def _node(self) -> "Node":
        """This object as what it is: `Node` is the only subclass."""
        return cast("Node", self)

    async def pread(self, offset: int, length: int) -> Buffer:
        """`length` bytes; beyond the end of the image they are zeroes."""
        if self.copies_on_read:
            return await self._node.pread_storing(offset, length)
        check_request(offset, length)
        if not length:
            return b""
        if BDRV_CO_PREADV.is_on:
            BDRV_CO_PREADV(self, offset, length, 0)
        alignment = self.limits.request_alignment
        request = self._begin(RequestKind.READ, offset, length)
        try:
            if alignment == 1 or is_aligned(offset, length, alignment):
                return await self._read_aligned(request, offset, length)
            padding = Padding(offset, length, alignment)
            data = await self._read_aligned(request, padding.start, padding.end - padding.start)
            return memoryview(data)[padding.head : padding.head + length]
        finally:
            self._end(request)

    async def _read_aligned(self, request: TrackedRequest, offset: int, length: int) -> Buffer:
        if self.tracker.serialising_count:
            await self.tracker.wait(request)
        inside = self._bytes_inside(offset)
        longest = self.limits.max_transfer or MAX_REQUEST_BYTES
        if length <= inside and length <= longest:
            return await self.driver.pread(offset, length)
        data = bytearray(length)
        done = 0
        while done < min(length, inside):
            piece = min(length - done, inside - done, longest)
            data[done : done + piece] = await self.driver.pread(offset + done, piece)
            done += piece
        return data

    def _bytes_inside(self, offset: int) -> int:
        """How much there is to read from `offset` on, up to the end of the last block."""
        alignment = self.limits.request_alignment
        return max(0, -(-(self._node.size - offset) & -alignment))

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = NONE) -> None:
        """Write `data`, past the end too, where the driver can grow."""
        length = len(data)
        check_request(offset, length)
        self._check_writable()
        if not length:
            return
        if BDRV_CO_PWRITEV.is_on:
            BDRV_CO_PWRITEV(self, offset, length, flags.value)
        request = self._begin(RequestKind.WRITE, offset, length)
        try:
            if self.limits.request_alignment == 1 or is_aligned(offset, length, self.limits.request_alignment):
                await self._write_aligned(request, offset, data, flags)
            else:
                await self._write_padded(request, offset, data, flags)
        finally:
            self._end(request)

    async def _write_padded(self, request: TrackedRequest, offset: int, data: Buffer, flags: RequestFlag) -> None:
        """Read the blocks at either end, put the request in, write whole blocks."""
        padding = Padding(offset, len(data), self.limits.request_alignment)
        head, tail = await self._read_ends(request, padding)
        await self._write_aligned(request, padding.start, b"".join((head, data, tail)), flags)

    async def _read_ends(self, request: TrackedRequest, padding: Padding) -> tuple[bytes, bytes]:
        """What lies before and after the request in its first and last block, which are its own from now on."""
        self.tracker.make_serialising(request, padding.alignment)
        await self.tracker.wait(request)
        block = padding.alignment
        if padding.in_one_block:
            await self._report("pwritev_rmw_head")
            whole = bytes(await self._read_aligned(request, padding.start, padding.end - padding.start))
            await self._report("pwritev_rmw_after_head")
            if padding.tail:
                await self._report("pwritev_rmw_after_tail")
            return whole[: padding.head], whole[len(whole) - padding.tail :]
        head = tail = b""
        if padding.head:
            await self._report("pwritev_rmw_head")
            head = bytes(await self._read_aligned(request, padding.start, block))[: padding.head]
            await self._report("pwritev_rmw_after_head")
        if padding.tail:
            await self._report("pwritev_rmw_tail")
            tail = bytes(await self._read_aligned(request, padding.end - block, block))[block - padding.tail :]
            await self._report("pwritev_rmw_after_tail")
        return head, tail

    async def _write_aligned(self, request: TrackedRequest, offset: int, data: Buffer, flags: RequestFlag) -> None:
        if self.tracker.serialising_count or flags is not NONE:
            await self._prepare_write(request, flags)
        length = len(data)
        try:
            if self.detect_zeroes != "off" and _can_zero(self.driver) and is_zero(data):
                if self.detect_zeroes == "unmap" and self.discard_mode == "unmap":
                    flags |= RequestFlag.MAY_UNMAP
                if self.event_sink is not None:
                    await self._report("pwritev_zero")
                await self._driver_zeroes(offset, length, flags)
                return
            if self.event_sink is not None:
                await self._report("pwritev")
            if flags is not NONE and RequestFlag.WRITE_COMPRESSED in flags:
                await self.driver.pwrite_compressed(offset, data)
                return
            await self._driver_write(offset, data, flags)
        finally:
            if self.event_sink is not None:
                await self._report("pwritev_done")
            self._finish_write(offset, length)

    async def _driver_write(self, offset: int, data: Buffer, flags: RequestFlag) -> None:
        """Write in pieces that the driver takes; a flush stands in for FUA where it has none."""
        flush = False
        if flags is not NONE:
            flags &= _DRIVER_WRITE_FLAGS
            if RequestFlag.FUA in flags and not self.driver.supports_fua:
                flush = True
                flags &= ~RequestFlag.FUA
        longest = self.limits.max_transfer or MAX_REQUEST_BYTES
        if len(data) <= longest:
            await self.driver.pwrite(offset, data, flags)
        else:
            view = memoryview(data)
            for start in range(0, len(view), longest):
                await self.driver.pwrite(offset + start, view[start : start + longest], flags)
        if flush:
            self.write_generation += 1
            await self.flush()

    async def _driver_zeroes(self, offset: int, length: int, flags: RequestFlag) -> None:
        """Zero in pieces that the driver takes; buffers where it cannot, unless NO_FALLBACK."""
        supported = self.driver.zero_flags
        if RequestFlag.NO_FALLBACK in flags and RequestFlag.NO_FALLBACK not in supported:
            raise BlockError.from_errno(errno.ENOTSUP)
        flush = RequestFlag.FUA in flags and RequestFlag.FUA not in supported
        limits = self.limits
        alignment = max(limits.pwrite_zeroes_alignment, limits.request_alignment)
        for start, piece in pieces_to_zero(offset, length, alignment, limits.max_pwrite_zeroes):
            try:
                await self.driver.pwrite_zeroes(start, piece, flags & (supported | RequestFlag.WRITE_UNCHANGED))
            except BlockError as error:
                if error.errno != errno.ENOTSUP or RequestFlag.NO_FALLBACK in flags:
                    raise
                await self._write_buffers_of_zeroes(start, piece)
        if flush:
            self.write_generation += 1
            await self.flush()

    async def _write_buffers_of_zeroes(self, offset: int, length: int) -> None:
        longest = min(self.limits.max_transfer or MAX_BOUNCE_BUFFER, MAX_BOUNCE_BUFFER)
        zeroes = bytes(min(length, longest))
        for start in range(0, length, longest):
            piece = min(longest, length - start)
            await self.driver.pwrite(offset + start, zeroes if piece == len(zeroes) else zeroes[:piece], NONE)

    async def _prepare_write(self, request: TrackedRequest, flags: RequestFlag) -> None:
        """Wait for what is in the way; a SERIALISING request makes the others wait."""
        if flags is not NONE and RequestFlag.SERIALISING in flags:
            self.tracker.make_serialising(request, self.limits.request_alignment)
        if self.tracker.serialising_count:
            await self.tracker.wait(request)

    def _finish_write(self, offset: int, length: int) -> None:
        """Whether it worked or not: what was written is dirty, and the image may have grown."""
        self.write_generation += 1
        end = offset + length
        if end > self.highest_write:
            self.highest_write = end
        if end > self.cached_size >= 0:
            self.cached_size = -(-end // SECTOR_SIZE) * SECTOR_SIZE
            self.bitmaps.resize(self.cached_size)
            self._node.notify_resized()
        if self.bitmaps.attached:
            self.bitmaps.mark_written(offset, length)

    def _check_writable(self) -> None:
        if self.read_only:
            raise BlockError.from_errno(errno.EPERM)

    async def flush(self) -> None:
        """Put everything written on stable storage, down to the protocol."""
        if self.read_only:
            return
        self.in_flight += 1
        try:
            generation = self.write_generation
            if self._flush_lock is None:
                self._flush_lock = asyncio.Lock()
            async with self._flush_lock:
                await self._flush_layers(generation)
        finally:
            self._leave()

    async def _flush_layers(self, generation: int) -> None:
        waits_for_disk = self.driver.kind is DriverKind.PROTOCOL and not self.driver.flushes_always
        if self.event_sink is not None:
            await self._report("flush_to_os")
        if not waits_for_disk:
            await self.driver.flush()
        if not self.no_flush and self._flushed_generation != generation:
            if self.event_sink is not None:
                await self._report("flush_to_disk")
            if waits_for_disk:
                await self.driver.flush()
        failure: BlockError | None = None
        for child in list(self._node.children.values()):
            if self.driver.flushes_child(child):
                try:
                    await child.node.flush()
                except BlockError as error:
                    failure = failure or error
        if failure is not None:
            raise failure
        self._flushed_generation = generation

    async def _report(self, event: str) -> None:
        """Report an event of the request path to the primary child, if it wants it. Who is in a hurry asks first."""
        if self.event_sink is not None:
            await self.event_sink.driver.debug_event(event)

    def _begin(self, kind: RequestKind, offset: int, length: int) -> TrackedRequest:
        self.in_flight += 1
        return self.tracker.begin(kind, offset, length)

    def _end(self, request: TrackedRequest) -> None:
        self.tracker.end(request)
        self._leave()

    def enter_background(self) -> None:
        """Be busy with something that is no request, until `leave_background`."""
        self.in_flight += 1

    def leave_background(self) -> None:
        """Undo one `enter_background`."""
        self._leave()

    def _leave(self) -> None:
        self.in_flight -= 1
        if self.drain_count and not self.in_flight:
            self.graph.drain_kick()


def _can_zero(driver: Driver) -> bool:
    return type(driver).pwrite_zeroes is not Driver.pwrite_zeroes


def check_range(offset: int, length: int) -> None:
    """Raise EIO for what no image can hold."""
    if offset < 0 or length < 0 or offset + length > MAX_IMAGE_BYTES:
        raise BlockError.from_errno(errno.EIO)


def check_request(offset: int, length: int) -> None:
    """Raise EIO for what no single read or write can be."""
    check_range(offset, length)
    if length > MAX_REQUEST_BYTES:
        raise BlockError.from_errno(errno.EIO)
