"""What a driver offers. A driver implements requests on one node; the node enforces everything about them.

When a driver's method runs, its node has already bounded, aligned, split and tracked the request, and has checked that
the node is writable. A request that fails raises `BlockError`; `BlockError.from_errno(errno.ENOTSUP)` from
`pwrite_zeroes` makes the node write buffers, and from `discard` is ignored.
"""

import enum
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from backcheck_engine import release
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.image_upkeep import ImageUpkeep
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import BlockStatus, Buffer, FilePiece, Range, RequestFlag
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener
    from backcheck_engine.block.options import Options
    from backcheck_engine.json_value import JsonObject


class DriverKind(enum.Enum):
    """Where a driver stands in the graph."""

    PROTOCOL = enum.auto()
    """Reaches the bytes itself; has no children."""
    FORMAT = enum.auto()
    """Interprets the bytes of a child."""
    FILTER = enum.auto()
    """Passes requests through to one child, with the same content."""


class Limits:
    """Shapes of requests that a node can take, in bytes. 0 is no limit."""

    __slots__ = (
        "max_pdiscard",
        "max_pwrite_zeroes",
        "max_transfer",
        "optimal_transfer",
        "pdiscard_alignment",
        "pwrite_zeroes_alignment",
        "request_alignment",
    )

    def __init__(self) -> None:
        self.request_alignment = 1
        """The node reads and writes in multiples of this; it pads what is not aligned."""
        self.max_transfer = 0
        self.max_pwrite_zeroes = 0
        self.pwrite_zeroes_alignment = 0
        self.max_pdiscard = 0
        self.pdiscard_alignment = 0
        self.optimal_transfer = 0

    def merge(self, child: "Limits") -> None:
        """Take over what a child's limits mean for its parent: the length of transfers, not alignments.

        11.1 takes over the alignment of discards too.
        """
        if release.current() >= release.QEMU_11_1:
            self.pdiscard_alignment = max(self.pdiscard_alignment, child.pdiscard_alignment)
        self.max_transfer = min(filter(None, (self.max_transfer, child.max_transfer)), default=0)
        self.optimal_transfer = max(self.optimal_transfer, child.optimal_transfer)


class DriverInfo(NamedTuple):
    """What other parts need to know of a format."""

    cluster_size: int
    subcluster_size: int = 0
    """0 where the format has no subclusters."""
    is_dirty: bool = False
    needs_compressed_writes: bool = False
    vm_state_offset: int = 0


class Driver(ImageUpkeep, ABC):
    """One driver on one node. Subclasses: `super().__init__(node)` first, then open children through the `Opener`."""

    format_name: ClassVar[str]
    kind: ClassVar[DriverKind]
    supports_backing: ClassVar[bool] = False
    supports_compressed_writes: ClassVar[bool] = False
    compresses_single_clusters: ClassVar[bool] = False
    """Whether one compressed write cannot be more than a cluster."""
    supports_copy_offload: ClassVar[bool] = False
    """Whether the host's kernel can copy from and to what this driver shows, `copy_range_from` and `copy_range_to`."""
    supports_discard: bool = False
    """Whether `discard` does anything; the node does not track discards that would do nothing."""
    supports_fua: bool = False
    """Whether `pwrite` honours FUA; else the node flushes after the write."""
    zero_flags: RequestFlag = RequestFlag.NONE
    """Which flags `pwrite_zeroes` honours, of FUA, MAY_UNMAP and NO_FALLBACK."""
    flushes_always: ClassVar[bool] = False
    """For a protocol: whether a flush is passed on although nothing was written, and where nobody wants the disk's."""
    has_variable_size: ClassVar[bool] = False
    """Whether `size` can change by itself, so that the node asks each time."""
    protocol_prefix: ClassVar[str | None] = None
    """The protocol that a filename may start with ("nbd" for nbd:…); None where filenames have no prefix."""
    strong_options: ClassVar[tuple[str, ...]] = ()
    """Options that change what a guest sees, and so belong in a json: filename; "x." stands for all that start so."""
    mutable_options: ClassVar[tuple[str, ...] | None] = None
    """How options begin that a reopening may change; None where a node of this driver cannot be reopened."""
    named_by_image: ClassVar[str | None] = None
    """How the names of children begin that follow from the image, and so do not belong in a json: filename."""
    not_with_filename: ClassVar[tuple[str, ...]] = ()
    """Options that a filename stands for, so that they cannot be given beside one; "x." as above."""
    needs_filename: ClassVar[bool] = False
    """Whether a node of this driver cannot be opened without a filename."""

    def __init__(self, node: "Node") -> None:
        self.node = node
        node.driver = self

    @classmethod
    @abstractmethod
    async def open(cls, opener: "Opener") -> "Driver":
        """A driver on `opener.node`, with its children attached and its options taken."""

    @classmethod
    def parse_filename(cls, filename: str) -> "JsonObject":
        """The options that `filename`, with its protocol prefix, stands for. Raises OptionError."""
        return {"filename": filename}

    # Requests.

    @abstractmethod
    async def pread(self, offset: int, length: int) -> Buffer:
        """Exactly `length` bytes."""

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Write `data`; `flags` has at most FUA, SERIALISING and WRITE_UNCHANGED."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def copy_scattered(self, places: Sequence[Range], target: "Node", ranges: Sequence[Range]) -> int:
        """Have `target` take its `ranges` from where the first `places` lie, as many as can be; how many that was.

        A format copies only what is data of its own.
        """
        return 0

    async def pwrite_scattered(self, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        """Write the first `ranges`, each from its piece, as many as can be; how many that was."""
        return 0

    async def copy_range_from(
        self, offset: int, length: int, target: "Node", target_offset: int, flags: RequestFlag = RequestFlag.NONE
    ) -> None:
        """Have `target` take a range from where it lies in a file of the host."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def copy_range_to(self, offset: int, piece: FilePiece, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Have the host copy `piece` to where `offset` lies in a file of its own."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Make the range read as zeroes, without buffers."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Store `data` compressed; empty `data` ends the compressed part of the image."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def pwrite_compressed_together(self, offset: int, data: Buffer) -> int:
        """Store as much of the front of `data` compressed as can be in one go, as if each cluster came alone.

        How many bytes that was, in whole clusters or all; what is left, perhaps everything, is as it was.
        """
        return 0

    async def discard(self, offset: int, length: int) -> None:
        """The content of the range is no longer needed."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def flush(self) -> None:
        """Pass on what this driver itself still holds. The node flushes the children afterwards."""

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        """What is at `offset`; `want_zero` off allows an answer that is quick rather than precise about zeroes.

        Without one of its own, a filter delegates and anything else is data all over.
        """
        if self.kind is DriverKind.FILTER and self.node.filtered is not None:
            return BlockStatus(length=length, host_offset=offset, file=self.node.filtered, delegated=True)
        is_protocol = self.kind is DriverKind.PROTOCOL
        return BlockStatus(
            length=length,
            data=True,
            host_offset=offset if is_protocol else None,
            file=self.node if is_protocol else None,
        )

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        """Change the size; with `zero` what is added must read as zeroes. A filter passes it on."""
        if self.kind is DriverKind.FILTER and self.node.filtered is not None:
            await self.node.filtered.truncate(size, exact=exact, preallocation=preallocation, zero=zero)
            return
        raise BlockError("Image format driver does not support resize", errno.ENOTSUP)

    def flushes_child(self, child: Child) -> bool:
        """Whether a flush of this node goes on to `child`."""
        return child.writes

    # Dirty bitmaps that outlive the program.

    def stores_bitmaps(self) -> bool:
        """Whether the image can have persistent bitmaps."""
        return False

    async def check_new_bitmap(self, name: str, granularity: int) -> None:
        """Raise BlockError, in QEMU's words, unless a bitmap of that name and granularity can be stored at the end."""
        raise BlockError(
            f"Can't store persistent bitmaps to {self.node.device_or_node_name}: {os.strerror(errno.ENOTSUP)}",
            errno.ENOTSUP,
        )

    async def remove_stored_bitmap(self, name: str) -> None:
        """Forget the stored bitmap `name`, if there is one. Raises BlockError."""

    # Facts.

    @abstractmethod
    def size(self) -> int:
        """The exact size in bytes; raises BlockError when it cannot be had. The node rounds it up to sectors."""

    def allocated_size(self) -> int | None:
        """Bytes that the image takes on its host, or None where nobody knows."""
        primary = self.node.primary_child
        return primary.node.allocated_size() if primary is not None else None

    def info(self) -> DriverInfo | None:
        """Cluster size and the like, or None where the driver has none."""
        return None

    def specific_info(self) -> "JsonObject | None":
        """ImageInfoSpecific of QAPI, or None."""
        return None

    def has_zero_init(self) -> bool:
        """Whether a newly created image reads as zeroes."""
        return False

    def refresh_limits(self, limits: Limits) -> None:
        """Put this driver's limits in; those of the children are in already."""

    def refresh_filename(self) -> str | None:
        """The exact filename that opens this node again; '' when there is none, None for that of the primary child.

        A format's node has its file's name unless it was opened with options that matter.
        """
        return None

    # Permissions.

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        """(needed, shared) on `child`, when this node's parents together need and share what is given."""
        return default_child_permissions(child, self.node.is_writable, parent_permissions, parent_shared)

    def prepare_permissions(self, permissions: Permission, shared: Permission) -> None:
        """This node's parents are about to need and share this. Raise BlockError to refuse."""

    def commit_permissions(self, permissions: Permission, shared: Permission) -> None:
        """What was prepared is now so."""

    def abort_permissions(self) -> None:
        """What was prepared is off."""

    # Life.

    def drain_begin(self) -> None:
        """Start no requests of your own until drain_end."""

    def drain_end(self) -> None:
        """Undo one drain_begin."""

    async def prepare_reopen(self, options: "Options", discard: str) -> Callable[[], None]:
        """Take what may change from `options` for a node that goes on with that discard mode.

        What is returned puts it in force; nothing changes before. Raises EngineError.
        """
        return lambda: None

    def cancel_in_flight(self) -> bool:
        """Let requests fail that wait for something to come back; whether there were such."""
        return False

    async def become_read_only(self) -> None:
        """The node, which was flushed, is about to become read-only: leave the image as it shall stay."""

    async def stay_writable(self) -> None:
        """Undo `become_read_only`, since the node stays as it was. Raises BlockError."""

    async def close(self) -> None:
        """Write back metadata and let go of resources. Children are detached by the node afterwards."""

    # Debugging.

    async def debug_event(self, event: str) -> None:
        """A format above reached the BlkdebugEvent `event`; may suspend the request that reports it."""


def default_child_permissions(
    child: Child, writable: bool, parent_permissions: Permission, parent_shared: Permission
) -> tuple[Permission, Permission]:
    """(needed, shared) by the child's role: a filter's, an overlay's, or that of a format's own storage."""
    if ChildRole.FILTERED in child.role:
        return parent_permissions, parent_shared
    if ChildRole.COW in child.role:
        return _backing_permissions(parent_permissions, parent_shared)
    return _storage_permissions(child.role, writable, parent_permissions, parent_shared)


def _backing_permissions(needed: Permission, shared: Permission) -> tuple[Permission, Permission]:
    """An overlay only reads its backing, and lets it change where its own users let the overlay change."""
    allowed = Permission.CONSISTENT_READ | Permission.WRITE_UNCHANGED
    if Permission.WRITE in shared:
        allowed |= Permission.WRITE | Permission.RESIZE
    return needed & Permission.CONSISTENT_READ, allowed


def _storage_permissions(
    role: ChildRole, writable: bool, needed: Permission, shared: Permission
) -> tuple[Permission, Permission]:
    """A format may write metadata at any time, and nobody else may change its file under it."""
    if ChildRole.METADATA in role:
        if writable:
            needed |= Permission.WRITE | Permission.RESIZE
        needed |= Permission.CONSISTENT_READ
        shared &= ~(Permission.WRITE | Permission.RESIZE)
    if ChildRole.DATA in role:
        shared &= ~Permission.RESIZE
        if Permission.WRITE_UNCHANGED in needed:
            needed |= Permission.WRITE
        if Permission.WRITE in needed:
            needed |= Permission.RESIZE
    return needed, shared
