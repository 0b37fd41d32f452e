"""What else can be asked of a node: compressed writes, another size, block status, debug events."""

import errno
from typing import TYPE_CHECKING, Final

from backcheck_engine.block import status
from backcheck_engine.block.node_offload import NodeOffload
from backcheck_engine.block.node_requests import NONE, check_request
from backcheck_engine.block.padding import Padding
from backcheck_engine.block.request import MAX_IMAGE_BYTES, BlockStatus, Buffer, RequestFlag
from backcheck_engine.block.tracking import RequestKind
from backcheck_engine.errors import BlockError
from backcheck_engine.tracing import BDRV_CO_PREADV

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


_COPY_ON_READ: Final = 0x1
"""How a trace shows such a read."""


class NodeIO(NodeOffload):
    """The whole half of `Node` that carries requests."""

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Write `data` compressed, where the driver can (ENOTSUP elsewhere, as late as any other failure)."""
        await self.pwrite(offset, data, RequestFlag.WRITE_COMPRESSED)

    async def pread_storing(self, offset: int, length: int) -> Buffer:
        """`pread`, after which what was read is this node's own, even if its backing had it before."""
        from backcheck_engine.block.copy_on_read import cluster_size, read_and_store  # late: few disks need it

        check_request(offset, length)
        if not length:
            return b""
        if BDRV_CO_PREADV.is_on:
            BDRV_CO_PREADV(self, offset, length, _COPY_ON_READ)
        padding = Padding(offset, length, self.limits.request_alignment)
        end = min(padding.end, padding.start + self._bytes_inside(padding.start))
        request = self._begin(RequestKind.READ, offset, length)
        try:
            self.tracker.make_serialising(request, cluster_size(self._node))
            await self.tracker.wait(request)
            data = b"" if end <= padding.start else await read_and_store(self._node, padding.start, end - padding.start)
        finally:
            self._end(request)
        found = memoryview(data)[padding.head : padding.head + length]
        return found if len(found) == length else bytes(found).ljust(length, b"\0")

    async def store_zeroes(self, offset: int, length: int) -> None:
        """Make a range that reads as zeroes this node's own, from inside a request that has it for itself."""
        await self._driver_zeroes(offset, length, RequestFlag.WRITE_UNCHANGED)

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
            self.write_generation += 1
            await self.driver.truncate(size, exact=exact, preallocation=preallocation, zero=zero)
            node.refresh_size()
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
