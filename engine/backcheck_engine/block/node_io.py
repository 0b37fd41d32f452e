"""The requests of a node, as its users make them: bounds, padding, serialising, splitting, fallbacks.

A driver sees only aligned requests inside the image (or a growing write), no longer than it can take.
"""

import errno
from typing import TYPE_CHECKING

from backcheck_engine.block import status, zeroes
from backcheck_engine.block.driver import Driver, DriverKind, Limits
from backcheck_engine.block.padding import Padding
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import (
    MAX_IMAGE_BYTES,
    MAX_REQUEST_BYTES,
    SECTOR_SIZE,
    BlockStatus,
    Buffer,
    RequestFlag,
)
from backcheck_engine.block.tracking import RequestKind, RequestTracker, TrackedRequest
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node


class NodeIO:
    """The half of `Node` that carries requests. Every method raises BlockError when the request fails."""

    async def pread(self, offset: int, length: int) -> Buffer:
        """`length` bytes; beyond the end of the image they are zeroes."""

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Write `data`, past the end too, where the driver can grow."""

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Make a range read as zeroes; with MAY_UNMAP it may be deallocated where `discard` of the node allows."""

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Write `data` compressed, where the driver can (ENOTSUP elsewhere)."""

    async def discard(self, offset: int, length: int) -> None:
        """Say that a range is no longer needed; does nothing unless the node was opened with discard=unmap."""

    async def flush(self) -> None:
        """Put everything written on stable storage, down to the protocol."""

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        """Change the size."""

    async def block_status(self, offset: int, length: int, want_zero: bool = True) -> BlockStatus:
        """What this node, without its backing, knows about a range; allocated, zero and eof are complete."""

    async def block_status_above(
        self, base: "Node | None", offset: int, length: int, *, include_base: bool = False, want_zero: bool = True
    ) -> BlockStatus:
        """What a reader of the chain from this node down to `base` (excluded unless `include_base`) sees."""

    async def is_allocated(self, offset: int, length: int) -> tuple[bool, int]:
        """(whether this node decides the content, for how many bytes)."""

    async def is_allocated_above(
        self, base: "Node | None", include_base: bool, offset: int, length: int
    ) -> tuple[bool, int]:
        """(whether any node above `base` decides the content, for how many bytes)."""

    async def debug_event(self, event: str) -> None:
        """Report a BlkdebugEvent ("cluster_alloc") of the format to this node; free unless it is a blkdebug.

        Callers write `if node.wants_debug_events: await node.debug_event("…")`.
        """
