"""The requests of a node, as its users make them: bounds, padding, serialising, splitting, fallbacks.

A driver sees only aligned requests, inside the image (or growing it), no longer than it can take.
"""

import asyncio
import errno
from typing import TYPE_CHECKING, cast

from backcheck_engine.block import status
from backcheck_engine.block.driver import Driver, DriverKind, Limits
from backcheck_engine.block.padding import Padding, is_aligned
from backcheck_engine.block.request import (
    MAX_IMAGE_BYTES,
    MAX_REQUEST_BYTES,
    SECTOR_SIZE,
    BlockStatus,
    Buffer,
    RequestFlag,
)
from backcheck_engine.block.tracking import RequestKind, RequestTracker, TrackedRequest
from backcheck_engine.block.zeroes import MAX_BOUNCE_BUFFER, is_zero, pieces_to_discard, pieces_to_zero
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.dirty_bitmap import DirtyBitmap
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node

_NONE = RequestFlag.NONE
_DRIVER_WRITE_FLAGS = RequestFlag.FUA | RequestFlag.SERIALISING | RequestFlag.WRITE_UNCHANGED


class NodeIO:
    """The half of `Node` that carries requests. Every method raises BlockError when the request fails."""

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
        self.discard_mode = "ignore"
        """"ignore" or "unmap"."""
        self.no_flush = False
        self.dirty_bitmaps: list[DirtyBitmap] = []
        self.wants_debug_events = False
        """Whether `debug_event` does anything; ask before calling it."""
        self.event_sink: Node | None = None
        """The primary child, when it wants debug events."""
        self.write_generation = 0
        self._flushed_generation = 0
        self._flush_lock: asyncio.Lock | None = None

    @property
    def _node(self) -> "Node":
        """This object as what it is: `Node` is the only subclass."""
        return cast("Node", self)

    # Reading.

    async def pread(self, offset: int, length: int) -> Buffer:
        """`length` bytes; beyond the end of the image they are zeroes."""
        check_request(offset, length)
        if not length:
            return b""
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

    # Writing.

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = _NONE) -> None:
        """Write `data`, past the end too, where the driver can grow."""
        length = len(data)
        check_request(offset, length)
        self._check_writable()
        if not length:
            return
        request = self._begin(RequestKind.WRITE, offset, length)
        try:
            if self.limits.request_alignment == 1 or is_aligned(offset, length, self.limits.request_alignment):
                await self._write_aligned(request, offset, data, flags)
            else:
                await self._write_padded(request, offset, data, flags)
        finally:
            self._end(request)

    async def _write_padded(
        self, request: TrackedRequest, offset: int, data: Buffer | None, flags: RequestFlag, length: int = 0
    ) -> None:
        """Read the blocks at either end, put the request in, write whole blocks. Without `data`: `length` zeroes."""
        padding = Padding(offset, len(data) if data is not None else length, self.limits.request_alignment)
        self.tracker.make_serialising(request, padding.alignment)
        await self.tracker.wait(request)
        head, tail = await self._read_ends(request, padding)
        if data is not None:
            await self._write_aligned(request, padding.start, b"".join((head, data, tail)), flags)
            return
        if padding.in_one_block:
            merged = b"".join((head, bytes(padding.length), tail))
            await self._write_aligned(request, padding.start, merged, flags & ~RequestFlag.MAY_UNMAP)
            return
        start, end = padding.start, padding.end
        if head:
            start += padding.alignment
            await self._write_aligned(request, padding.start, head.ljust(padding.alignment, b"\0"), flags)
        if tail:
            end -= padding.alignment
        await self._zero_aligned(request, start, end - start, flags)
        if tail:
            await self._write_aligned(request, end, tail.rjust(padding.alignment, b"\0"), flags)

    async def _read_ends(self, request: TrackedRequest, padding: Padding) -> tuple[bytes, bytes]:
        """What lies before and after the request in its first and last block."""
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
        await self._prepare_write(request, flags)
        length = len(data)
        try:
            if self.detect_zeroes != "off" and _can_zero(self.driver) and is_zero(data):
                if self.detect_zeroes == "unmap" and self.discard_mode == "unmap":
                    flags |= RequestFlag.MAY_UNMAP
                await self._report("pwritev_zero")
                await self._driver_zeroes(offset, length, flags)
                return
            await self._report("pwritev")
            if flags is not _NONE and RequestFlag.WRITE_COMPRESSED in flags:
                await self.driver.pwrite_compressed(offset, data)
                return
            await self._driver_write(offset, data, flags)
        finally:
            await self._report("pwritev_done")
            self._finish_write(offset, length)

    async def _driver_write(self, offset: int, data: Buffer, flags: RequestFlag) -> None:
        """Write in pieces that the driver takes; a flush stands in for FUA where it has none."""
        flush = False
        if flags is not _NONE:
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
            await self.flush()

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Write `data` compressed, where the driver can (ENOTSUP elsewhere)."""
        if not self.driver.supports_compressed_writes:
            raise BlockError.from_errno(errno.ENOTSUP)
        await self.pwrite(offset, data, RequestFlag.WRITE_COMPRESSED)

    async def _prepare_write(self, request: TrackedRequest, flags: RequestFlag) -> None:
        """Wait for what is in the way; a SERIALISING request makes the others wait."""
        if flags is not _NONE and RequestFlag.SERIALISING in flags:
            self.tracker.make_serialising(request, self.limits.request_alignment)
        if self.tracker.serialising_count:
            await self.tracker.wait(request)

    def _finish_write(self, offset: int, length: int) -> None:
        """Whether it worked or not: what was written is dirty, and the image may have grown."""
        self.write_generation += 1
        for bitmap in self.dirty_bitmaps:
            if bitmap.recording:
                bitmap.set(offset, min(length, bitmap.size - offset))
        if offset + length > self.cached_size >= 0:
            self.cached_size = -(-(offset + length) // SECTOR_SIZE) * SECTOR_SIZE
            self._node.notify_resized()

    def _check_writable(self) -> None:
        if self.read_only:
            raise BlockError.from_errno(errno.EPERM)

    # Zeroes.

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = _NONE) -> None:
        """Make a range read as zeroes; with MAY_UNMAP it may be deallocated where `discard` of the node allows."""
        check_range(offset, length)
        self._check_writable()
        if not length:
            return
        if self.discard_mode != "unmap":
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
                await self._write_padded(request, offset, None, flags, length)
        finally:
            self._end(request)

    async def _zero_aligned(self, request: TrackedRequest, offset: int, length: int, flags: RequestFlag) -> None:
        if not length:
            return
        await self._prepare_write(request, flags)
        try:
            await self._report("pwritev_zero")
            await self._driver_zeroes(offset, length, flags)
        finally:
            await self._report("pwritev_done")
            self._finish_write(offset, length)

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
                await self.driver.pwrite_zeroes(start, piece, flags & supported)
            except BlockError as error:
                if error.errno != errno.ENOTSUP or RequestFlag.NO_FALLBACK in flags:
                    raise
                await self._write_buffers_of_zeroes(start, piece)
        if flush:
            await self.flush()

    async def _write_buffers_of_zeroes(self, offset: int, length: int) -> None:
        longest = min(self.limits.max_transfer or MAX_BOUNCE_BUFFER, MAX_BOUNCE_BUFFER)
        zeroes = bytes(min(length, longest))
        for start in range(0, length, longest):
            piece = min(longest, length - start)
            await self.driver.pwrite(offset + start, zeroes if piece == len(zeroes) else zeroes[:piece], _NONE)

    async def discard(self, offset: int, length: int) -> None:
        """Say that a range is no longer needed; does nothing unless the node was opened with discard=unmap."""
        check_range(offset, length)
        self._check_writable()
        if not length or self.discard_mode != "unmap" or not self.driver.supports_discard:
            return
        request = self._begin(RequestKind.DISCARD, offset, length)
        try:
            await self._prepare_write(request, _NONE)
            try:
                await self._discard_pieces(offset, length)
            finally:
                self.write_generation += 1
                for bitmap in self.dirty_bitmaps:
                    if bitmap.recording:
                        bitmap.set(offset, min(length, bitmap.size - offset))
        finally:
            self._end(request)

    async def _discard_pieces(self, offset: int, length: int) -> None:
        limits = self.limits
        alignment = max(limits.pdiscard_alignment, limits.request_alignment)
        for start, piece in pieces_to_discard(offset, length, alignment, limits.request_alignment, limits.max_pdiscard):
            try:
                await self.driver.discard(start, piece)
            except BlockError as error:
                skipped = error.errno == errno.EINVAL and (start % alignment or piece % alignment)
                if error.errno != errno.ENOTSUP and not skipped:
                    raise

    # Flush and size.

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
        is_protocol = self.driver.kind is DriverKind.PROTOCOL
        await self._report("flush_to_os")
        if not is_protocol:
            await self.driver.flush()
        if not self.no_flush and self._flushed_generation != generation:
            await self._report("flush_to_disk")
            if is_protocol:
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
            await self._prepare_write(request, _NONE)
            backing = node.overlaid
            zero = zero or (added > 0 and backing is not None and backing.size > old_size)
            await self.driver.truncate(size, exact=exact, preallocation=preallocation, zero=zero)
            node.refresh_size()
            self.write_generation += 1
            node.notify_resized()
        finally:
            self._end(request)

    # Block status.

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

    # Debugging.

    async def debug_event(self, event: str) -> None:
        """Report that the format above this node reached the BlkdebugEvent `event`; may suspend the caller.

        Callers ask first, so that it costs nothing elsewhere: `if file.wants_debug_events: await file.debug_event(…)`.
        """
        if self.wants_debug_events:
            await self.driver.debug_event(event)

    async def _report(self, event: str) -> None:
        if self.event_sink is not None:
            await self.event_sink.driver.debug_event(event)

    # In flight.

    def _begin(self, kind: RequestKind, offset: int, length: int) -> TrackedRequest:
        self.in_flight += 1
        return self.tracker.begin(kind, offset, length)

    def _end(self, request: TrackedRequest) -> None:
        self.tracker.end(request)
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
