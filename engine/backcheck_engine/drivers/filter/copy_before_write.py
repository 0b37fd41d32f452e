"""The copy-before-write filter: before a write changes a cluster of its source, the old content goes to its target.

A backup job puts one above its source, and shares its `BlockCopy`. The filter's own name in the graph was `backup-top`
until 6.2.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.block_copy import DEFAULT_CLUSTER_SIZE, BlockCopy
from backcheck_engine.block.block_copy_call import copy_before_write
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, default_child_permissions
from backcheck_engine.block.opening import Opener, open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.version import PACKAGE

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject

ON_CBW_ERROR: Final = ("break-guest-write", "break-snapshot")

_NO_CLUSTER_SIZE: Final = {
    True: (
        "warning: The target block device doesn't provide information about the block size and it doesn't have a "
        "backing file. The default block size of {0} bytes is used. If the actual block size of the target exceeds "
        "this default, the backup may be unusable"
    ),
    False: (
        "warning: The target block device doesn't provide information about the block size and it doesn't have a "
        "backing file. The (default) block size of {0} bytes is used. If the actual block size of the target exceeds "
        "this value, the backup may be unusable"
    ),
}
"""By whether the release is older than 9.2."""


class CopyBeforeWriteDriver(Driver):
    """Passes everything through to `file`; what a write is about to change is copied to `target` first."""

    format_name: ClassVar[str] = "copy-before-write"
    source_child: ClassVar[str] = "file"
    kind: ClassVar[DriverKind] = DriverKind.FILTER
    supports_discard: ClassVar[bool] = True
    supports_fua: ClassVar[bool] = True
    zero_flags: ClassVar[RequestFlag] = RequestFlag.FUA | RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.copy: BlockCopy
        self.saved: DirtyBitmap
        """What guests' writes have made the filter copy."""
        self.accessible: DirtyBitmap
        """What a reader of the snapshot may ask for."""
        self._bitmap_holder: Node | None = None
        self.breaks_snapshot = False
        self.snapshot_error: BlockError | None = None
        """With `breaks_snapshot`, the first failure to copy: the snapshot is broken, guests go on."""

    @classmethod
    async def open(cls, opener: Opener) -> CopyBeforeWriteDriver:
        driver = cls(opener.node)
        await opener.child(cls.source_child, role=ChildRole.FILTERED | ChildRole.PRIMARY)
        await opener.child("target", role=ChildRole.DATA)
        driver.breaks_snapshot = (
            opener.options.take_enum("on-cbw-error", ON_CBW_ERROR, ON_CBW_ERROR[0]) == "break-snapshot"
        )
        min_cluster_size = opener.options.take_size("min-cluster-size")
        if min_cluster_size & (min_cluster_size - 1):
            raise BlockError("Cannot create block-copy-state: min-cluster-size needs to be a power of 2")
        source, target = driver.node.children[cls.source_child], driver.node.children["target"]
        driver.copy = BlockCopy(source, target, cluster_size=job_cluster_size(target.node, min_cluster_size))
        driver._show_bitmaps()
        return driver

    @property
    def source(self) -> Node:
        """The node that the filter guards."""
        return self.node.children[self.source_child].node

    def _show_bitmaps(self) -> None:
        """Make the bitmaps that clients see in queries, newest first; before 8.0 the source had one of them."""
        copy = self.copy
        self.saved = DirtyBitmap(copy.size, copy.cluster_size, recording=False)
        self.accessible = DirtyBitmap(copy.size, copy.cluster_size, recording=False)
        self.accessible.set(0, copy.size)
        self._bitmap_holder = self.node if release.current() >= release.QEMU_10_0 else self.source
        self._bitmap_holder.bitmaps.add(copy.bitmap)
        if release.current() >= release.QEMU_7_2:
            self.node.bitmaps.add(self.saved)
            self.node.bitmaps.add(self.accessible)

    async def close(self) -> None:
        if self._bitmap_holder is not None:
            self._bitmap_holder.bitmaps.remove(self.copy.bitmap)

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        return await self.source.pread(offset, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._guard(offset, len(data), flags)
        await self.source.pwrite(offset, data, flags)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._guard(offset, length, flags)
        await self.source.pwrite_zeroes(offset, length, flags)

    async def discard(self, offset: int, length: int) -> None:
        await self._guard(offset, length, RequestFlag.NONE)
        await self.source.discard(offset, length)

    async def _guard(self, offset: int, length: int, flags: RequestFlag) -> None:
        """Copy what the request is about to change. Raises BlockError, which fails the request alone."""
        if self.snapshot_error is not None or RequestFlag.WRITE_UNCHANGED in flags:
            return
        try:
            await copy_before_write(self.copy, offset, length)
        except BlockError as error:
            if not self.breaks_snapshot:
                raise
            self.snapshot_error = error
        else:
            self.saved.set(offset, length)

    def flushes_child(self, child: Child) -> bool:
        """A guest's flush is about its own disk, not about the copy."""
        return ChildRole.FILTERED in child.role

    # Facts and permissions.

    def size(self) -> int:
        return self.source.size

    def info(self) -> DriverInfo | None:
        return self.source.driver.info()

    def refresh_filename(self) -> str | None:
        return self.source.filename

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        if ChildRole.FILTERED not in child.role:
            return Permission.WRITE, Permission.ALL & ~Permission.RESIZE
        needed, shared = default_child_permissions(child, True, parent_permissions, parent_shared)
        if self._is_in_place:
            if Permission.WRITE in parent_permissions:
                needed |= Permission.CONSISTENT_READ
            if self.copy.discard_source:
                needed |= Permission.WRITE
            # A write that does not come through here would change what is not copied yet.
            shared &= ~(Permission.WRITE | Permission.RESIZE)
        return needed, shared

    @property
    def _is_in_place(self) -> bool:
        """Whether the filter guards already: while it is put above its source, others still write there."""
        return bool(self.node.parents)

    # The job's use.

    async def drop(self) -> None:
        """Take the filter out: its users use its source again."""
        node, graph = self.node, self.node.graph
        async with node.drained():
            graph.replace_node(node, self.source)
            # Nobody writes through the filter any more: closing it is no reason to flush the guest's disk.
            await graph.detach(node.children[self.source_child])
        await node.unref()


class BackupTopDriver(CopyBeforeWriteDriver):
    """The filter as it was before 6.2: its source was its backing, and it took its permissions when it was in place."""

    format_name: ClassVar[str] = "backup-top"
    source_child: ClassVar[str] = "backing"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._active_children: Final[set[str]] = set()

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        if child.name not in self._active_children:
            return Permission.NONE, Permission.ALL
        return super().child_permissions(child, parent_permissions, parent_shared)

    @property
    def _is_in_place(self) -> bool:
        return True

    async def activate(self) -> None:
        """Take the permissions, on the source first. Raises BlockError, after taking the filter out again."""
        for name, prefix in ((self.source_child, "Cannot set permissions for backup-top filter: "), ("target", "")):
            self._active_children.add(name)
            try:
                self.node.graph.refresh_permissions(self.node)
            except BlockError as error:
                await self.drop()
                raise error.prefixed(prefix) from error

    async def drop(self) -> None:
        """Give the permissions back before the filter is taken out."""
        self._active_children.clear()
        self.node.graph.refresh_permissions(self.node)
        await super().drop()


def job_cluster_size(target: Node, min_cluster_size: int = 0) -> int:
    """The unit in which a backup to `target` copies, in bytes.

    It is at least the target's own cluster, since writing less would need the target's backing to be right already.
    Raises BlockError when the target cannot say and has no backing.
    """
    default = max(DEFAULT_CLUSTER_SIZE, min_cluster_size)
    has_backing = target.skip_filters().overlaid is not None
    try:
        info = target.driver.info()
    except BlockError as error:
        if has_backing:
            return default
        raise error.prefixed(
            "Couldn't determine the cluster size of the target image, which has no backing file: "
        ) from error
    if info is not None:
        return max(default, info.cluster_size)
    if not has_backing:
        warn_of_unknown_cluster_size(default)
    return default


def warn_of_unknown_cluster_size(used: int) -> None:
    """Tell the person at the terminal that the target may have larger clusters than the backup."""
    text = _NO_CLUSTER_SIZE[release.current() < release.QEMU_10_0].format(used)
    program = f"{PACKAGE}: " if release.current() >= release.QEMU_11_1 else ""
    print(f"{program}{text}", file=sys.stderr, flush=True)


async def insert_filter(
    graph: Graph,
    source: Node,
    target: Node,
    *,
    node_name: str | None = None,
    min_cluster_size: int = 0,
    discard_source: bool = False,
    breaks_snapshot: bool = False,
) -> CopyBeforeWriteDriver:
    """Put a filter above `source`, whose users use it from now on. `source` must be drained.

    Raises EngineError in QEMU's words; nothing has changed then.
    """
    kind = BackupTopDriver if release.current() < release.QEMU_7_2 else CopyBeforeWriteDriver
    tree: JsonObject = {
        "driver": kind.format_name,
        kind.source_child: source.node_name,
        "target": target.node_name,
    }
    if node_name is not None:
        tree["node-name"] = node_name
    if min_cluster_size:
        tree["min-cluster-size"] = min_cluster_size
    if breaks_snapshot:
        tree["on-cbw-error"] = "break-snapshot"
    try:
        node = await open_node(graph, tree)
    except EngineError as error:
        raise _prefixed(error, "Could not create node: ") from error
    guard = node.driver
    assert isinstance(guard, CopyBeforeWriteDriver)
    guard.copy.discard_source = discard_source
    try:
        graph.replace_node(source, node)
    except EngineError as error:
        await node.unref()
        raise _prefixed(error, "Could not replace node: ") from error
    if isinstance(guard, BackupTopDriver):
        await guard.activate()
    return guard


def _prefixed(error: EngineError, prefix: str) -> EngineError:
    """The error as the release words it; 5.2 says it plain."""
    if release.current() < release.QEMU_7_2:
        return error
    return BlockError(f"{prefix}{error}", error.errno)
