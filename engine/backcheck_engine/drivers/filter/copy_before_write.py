"""The copy-before-write filter: before a write changes a cluster of its source, the old content goes to its target.

A client makes one, or a backup job, which puts it above its source and shares its `BlockCopy`; see `backup_filter`.
What `snapshot-access` reads through it is in `frozen_view`.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.block_copy import BlockCopy, CopyFailure
from backcheck_engine.block.block_copy_call import BlockCopyCall, guarding_call
from backcheck_engine.block.block_copy_cluster import job_cluster_size
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, default_child_permissions
from backcheck_engine.block.node_bitmaps import find_bitmap
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.drivers.filter.frozen_view import FrozenView
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener

ON_CBW_ERROR: Final = ("break-guest-write", "break-snapshot")
MAX_CLUSTER_SIZE: Final = 2**63 - 1

_NO_COPY_STATE: Final = "Cannot create block-copy-state: "


class CopyBeforeWriteDriver(Driver):
    """Passes everything through to `file`; what a write is about to change is copied to `target` first."""

    format_name: ClassVar[str] = "copy-before-write"
    source_child: ClassVar[str] = "file"
    child_names: ClassVar[tuple[str, str]] = ("file", "target")
    kind: ClassVar[DriverKind] = DriverKind.FILTER
    supports_discard = True
    supports_fua = True
    zero_flags = RequestFlag.FUA | RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.copy: BlockCopy
        self.view: FrozenView
        """The moment that is guarded, for who reads it."""
        self._bitmap_holder: Node | None = None
        self._breaks_snapshot = False
        """Whether a failure to copy breaks the view, once and for all, and not the guest's write."""
        self._room = 0
        """The target's size, which stays what it is."""
        self._timeout_s = 0
        """How long copying may keep a guest waiting; 0 is for ever."""

    @classmethod
    async def open(cls, opener: Opener) -> CopyBeforeWriteDriver:
        driver, options = cls(opener.node), opener.options
        for name in cls.child_names:
            role = ChildRole.FILTERED | ChildRole.PRIMARY if name == cls.source_child else ChildRole.DATA
            await opener.child(name, role=role)
        bitmap = _take_bitmap(opener)
        driver._breaks_snapshot = options.take_enum("on-cbw-error", ON_CBW_ERROR, ON_CBW_ERROR[0]) == "break-snapshot"
        driver._timeout_s = options.take_int("cbw-timeout")
        source, target = driver.node.children[cls.source_child], driver.node.children["target"]
        cluster_size = _cluster_size(target.node, options.take_size("min-cluster-size"))
        driver.copy = BlockCopy(source, target, cluster_size=cluster_size)
        if bitmap is not None:
            _choose_clusters(driver.copy, bitmap)
        driver.view = FrozenView(driver.copy)
        driver._room = target.node.size
        driver._show_bitmaps()
        return driver

    @property
    def source(self) -> Node:
        """The node that the filter guards."""
        return self.node.children[self.source_child].node

    def _show_bitmaps(self) -> None:
        """Make the bitmaps that clients see in queries, newest first; before 8.0 the source had one of them."""
        copy = self.copy
        self._bitmap_holder = self.node if release.current() >= release.QEMU_10_0 else self.source
        self._bitmap_holder.bitmaps.add(copy.bitmap)
        if release.current() >= release.QEMU_7_2:
            self.node.bitmaps.add(self.view.saved)
            self.node.bitmaps.add(self.view.accessible)

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
        view = self.view
        if view.error is not None or RequestFlag.WRITE_UNCHANGED in flags:
            return
        call = guarding_call(self.copy, offset, length)
        failure = None
        if call is not None:
            failure = await self._in_time(call) if self._has_room(offset + length) else _no_room()
        if failure is None:
            view.guest_writes(offset, length)
        elif self._breaks_snapshot:
            view.break_with(failure.error)
        else:
            raise failure.error
        if view.is_being_read:
            await view.readers_end(offset, length)

    def _has_room(self, end: int) -> bool:
        """Whether the target is large enough for the clusters up to `end`: nobody has made sure that it is."""
        size, unit = self.copy.size, self.copy.cluster_size
        return self._room >= size or self._room >= min(size, -(-end // unit) * unit)

    async def _in_time(self, call: BlockCopyCall) -> CopyFailure | None:
        """Copy; what takes too long has failed, and ends when it ends."""
        if not self._timeout_s:
            return await call.run()
        # The node is busy until the copying has ended, even if nobody waits for it any more.
        self.node.enter_background()
        task = asyncio.ensure_future(call.run())
        task.add_done_callback(lambda _: self.node.leave_background())
        await asyncio.wait((task,), timeout=self._timeout_s)
        if task.done():
            return task.result()
        call.cancel()
        return CopyFailure(error=BlockError.from_errno(errno.ETIMEDOUT), is_read=False)

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
            if Permission.WRITE in parent_permissions or release.current() >= release.QEMU_10_0:
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


def _no_room() -> CopyFailure:
    return CopyFailure(error=BlockError.from_errno(errno.ENOSPC), is_read=False)


def _take_bitmap(opener: Opener) -> DirtyBitmap | None:
    """The bitmap that says what is to be guarded, if there is one."""
    options = opener.options.children("bitmap")
    if not len(options):
        return None
    node_ref, name = options.take_str("node"), options.take_str("name")
    for member, value in (("node", node_ref), ("name", name)):
        if value is None:
            raise OptionError(f"Parameter 'bitmap.{member}' is missing")
    _, bitmap = find_bitmap(opener.node.graph, str(node_ref), str(name))
    return bitmap


def _cluster_size(target: Node, min_cluster_size: int) -> int:
    """The unit of copying, at least what is asked for. Raises BlockError for what can be no unit."""
    problem = None
    if min_cluster_size > MAX_CLUSTER_SIZE:
        problem = f"min-cluster-size too large: {min_cluster_size} > {MAX_CLUSTER_SIZE}"
    elif min_cluster_size & (min_cluster_size - 1):
        problem = "min-cluster-size needs to be a power of 2"
    if problem is not None:
        raise BlockError(f"{_NO_COPY_STATE}{problem}", errno.EINVAL)
    return job_cluster_size(target, min_cluster_size)


def _choose_clusters(copy: BlockCopy, bitmap: DirtyBitmap) -> None:
    """Guard only what `bitmap` marks. Raises BlockError."""
    if bitmap.size != copy.size:
        raise BlockError(
            f"{_NO_COPY_STATE}Failed to merge bitmap '{bitmap.name}' to internal copy-bitmap: Bitmaps are of different "
            f"sizes (destination size is {copy.size}, source size is {bitmap.size}) and can't be merged",
            errno.EINVAL,
        )
    copy.bitmap.clear_all()
    copy.bitmap.merge_from(bitmap)
