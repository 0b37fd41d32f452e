"""The format `raw`: the file's bytes are the disk's, or a window of them given by offset and size."""

import errno
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, Limits
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.options import Options
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.probing import PROBE_BYTES, RAW, probe
from backcheck_engine.block.request import SECTOR_SIZE, BlockStatus, Buffer, FilePiece, RequestFlag
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_CHANGES = Permission.WRITE | Permission.RESIZE

_PROBED_WARNING = (
    "WARNING: Image format was not specified for '{0}' and probing guessed raw.\n"
    "         Automatically detecting the format is dangerous for raw images, "
    "write operations on block 0 will be restricted.\n"
    "         Specify the 'raw' format explicitly to remove the restrictions."
)


class RawDriver(Driver):
    """A raw image. When its format was guessed, a guest cannot write another format's magic to its first sector."""

    format_name = "raw"
    kind = DriverKind.FORMAT
    supports_copy_offload = True
    supports_discard = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK | RequestFlag.FUA
    strong_options = ("offset", "size")
    mutable_options = ("offset", "size")

    _offset: int
    _window: int | None
    """The size option: how much of the file from the offset on is the disk."""
    _guards_first_sector: bool

    @classmethod
    async def open(cls, opener: Opener) -> "RawDriver":
        driver = cls(opener.node)
        driver._offset, driver._window = _take_window(opener.options)
        is_window = driver._window is not None or driver._offset != 0
        role = ChildRole.DATA if is_window else ChildRole.FILTERED
        child = await opener.child("file", role=role | ChildRole.PRIMARY)
        assert child is not None
        driver.supports_fua = child.driver.supports_fua
        driver._check_window(driver._offset, driver._window)
        driver._guards_first_sector = opener.node.probed and opener.node.is_writable
        if driver._guards_first_sector:
            print(_PROBED_WARNING.format(child.filename), file=sys.stderr, flush=True)
        return driver

    def _check_window(self, offset: int, window: int | None) -> None:
        """Raise BlockError unless the window is one of the file."""
        file_size = self.node.file.size
        old = release.current() < release.QEMU_7_2
        shown = (0, 0) if old else (offset, window)  # 5.2 shows what was before the options
        if offset > file_size:
            raise BlockError(
                f"Offset ({shown[0]}) cannot be greater than size of the containing file ({file_size})",
                errno.EINVAL,
            )
        if window is None:
            return
        if file_size - offset < window:
            raise BlockError(
                f"The sum of offset ({shown[0]}) and size ({shown[1]}) has to be smaller or equal to "
                f"the  actual size of the containing file ({file_size})",
                errno.EINVAL,
            )
        if window % SECTOR_SIZE:
            raise BlockError(f"Specified size is not multiple of {SECTOR_SIZE}", errno.EINVAL)

    def _place(self, offset: int, length: int, *, writing: bool) -> int:
        """Where in the file; nothing may leave the window."""
        if self._window is not None and offset + length > self._window:
            raise BlockError.from_errno(errno.ENOSPC if writing else errno.EINVAL)
        return offset + self._offset

    async def pread(self, offset: int, length: int) -> Buffer:
        place = self._place(offset, length, writing=False)
        file = self.node.file
        if file.wants_debug_events:
            await file.debug_event("read_aio")
        return await file.pread(place, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        if self._guards_first_sector and offset < PROBE_BYTES and len(data):
            data = self._checked_copy(data)
        place = self._place(offset, len(data), writing=True)
        file = self.node.file
        if file.wants_debug_events:
            await file.debug_event("write_aio")
        await file.pwrite(place, data, flags)

    async def copy_range_from(
        self, offset: int, length: int, target: "Node", target_offset: int, flags: RequestFlag = RequestFlag.NONE
    ) -> None:
        place = self._place(offset, length, writing=False)
        await self.node.file.copy_range_from(place, length, target, target_offset, flags)

    async def copy_range_to(self, offset: int, piece: FilePiece, flags: RequestFlag = RequestFlag.NONE) -> None:
        # The first sector is not guarded against what nobody looks at.
        await self.node.file.copy_range_to(self._place(offset, piece.length, writing=True), piece, flags)

    def _checked_copy(self, data: Buffer) -> Buffer:
        """A copy that nobody can change any more, and that does not make the image another format's."""
        copy = bytes(data)
        if probe(copy[:PROBE_BYTES]) != RAW:
            raise BlockError.from_errno(errno.EPERM)
        return copy

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self.node.file.pwrite_zeroes(self._place(offset, length, writing=True), length, flags)

    async def discard(self, offset: int, length: int) -> None:
        await self.node.file.discard(self._place(offset, length, writing=True), length)

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        return BlockStatus(length=length, host_offset=offset + self._offset, file=self.node.file, delegated=True)

    def size(self) -> int:
        if self._window is not None:
            return self._window
        return max(0, self.node.file.size - self._offset)

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        if self._window is not None:
            raise BlockError("Cannot resize fixed-size raw disks", errno.ENOTSUP)
        if size > 2**63 - 1 - self._offset:
            raise BlockError("Disk size too large for the chosen offset", errno.EINVAL)
        await self.node.file.truncate(size + self._offset, exact=exact, preallocation=preallocation, zero=zero)

    def cancel_in_flight(self) -> bool:
        return self.node.file.driver.cancel_in_flight()

    async def prepare_reopen(self, options: Options, discard: str) -> Callable[[], None]:
        offset, window = _take_window(options)
        self._check_window(offset, window)

        def put_in_force() -> None:
            self._offset, self._window = offset, window

        return put_in_force

    def info(self) -> DriverInfo | None:
        return self.node.file.driver.info()

    def has_zero_init(self) -> bool:
        return self.node.file.driver.has_zero_init()

    def refresh_limits(self, limits: Limits) -> None:
        if self._guards_first_sector:
            limits.request_alignment = SECTOR_SIZE

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        """Those of a format, except that raw itself writes nothing that its parents do not write."""
        needed, shared = super().child_permissions(child, parent_permissions, parent_shared)
        return (needed & ~_CHANGES) | (parent_permissions & _CHANGES), shared


def _take_window(options: Options) -> tuple[int, int | None]:
    """(offset, size) that the options give; no size is up to the file's end."""
    has_size = "size" in options
    return options.take_size("offset"), options.take_size("size") if has_size else None
