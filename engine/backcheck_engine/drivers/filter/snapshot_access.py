"""The driver `snapshot-access`: reads what a copy-before-write filter guards, as it was when the filter came."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.driver import Driver, DriverKind
from backcheck_engine.block.permissions import Permission
from backcheck_engine.drivers.filter.copy_before_write import CopyBeforeWriteDriver
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.opening import Opener
    from backcheck_engine.block.request import BlockStatus, Buffer
    from backcheck_engine.drivers.filter.frozen_view import FrozenView


class SnapshotAccessDriver(Driver):
    """Above any node; but only a copy-before-write filter has something to show, and nothing can be written."""

    format_name: ClassVar[str] = "snapshot-access"
    kind: ClassVar[DriverKind] = DriverKind.FORMAT
    supports_discard = True

    @classmethod
    async def open(cls, opener: Opener) -> SnapshotAccessDriver:
        driver = cls(opener.node)
        await opener.child("file", role=ChildRole.DATA | ChildRole.PRIMARY)
        return driver

    @property
    def _view(self) -> FrozenView:
        """The point in time below. Raises BlockError where there is none, or no longer."""
        guard = self.node.file.driver
        if not isinstance(guard, CopyBeforeWriteDriver):
            raise BlockError.from_errno(errno.ENOTSUP)
        return guard.view

    async def pread(self, offset: int, length: int) -> Buffer:
        return await self._view.pread(offset, length)

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        return await self._view.block_status(offset, length, want_zero)

    async def discard(self, offset: int, length: int) -> None:
        await self._view.discard(offset, length)

    def size(self) -> int:
        return self.node.file.size

    def refresh_filename(self) -> str | None:
        return self.node.file.filename

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        return Permission.NONE, Permission.ALL
