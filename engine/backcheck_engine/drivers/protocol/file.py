"""The driver `file`: images in regular files of the host.

Locking of images is in `image_locks`, system calls are in `file_io`, `file_resize` and `fallocate`.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, Limits
from backcheck_engine.block.io_threads import INLINE_BYTES, run_in_thread
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.options import Options
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import BlockStatus, Buffer, FilePiece, Range, RequestFlag
from backcheck_engine.drivers.protocol import file_io
from backcheck_engine.drivers.protocol.fallocate import (
    ALLOCATE,
    KEEP_SIZE,
    PUNCH_HOLE,
    UNSUPPORTED,
    ZERO_RANGE,
    fallocate,
)
from backcheck_engine.drivers.protocol.file_resize import resize_file
from backcheck_engine.drivers.protocol.image_locks import ImageLocks, locks_work
from backcheck_engine.drivers.protocol.writeback import Writeback
from backcheck_engine.errors import BlockError, OptionError
from backcheck_engine.json_value import JsonObject

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_WRITERS = Permission.WRITE | Permission.WRITE_UNCHANGED | Permission.RESIZE
_LOCKING = ("auto", "on", "off")
_AIO = ("threads", "native", "io_uring")
_WRONG_KIND = {
    False: "'{0}' driver requires '{1}' to be a regular file",
    True: "'{0}' driver requires '{1}' to be either a character or block device",
}
_WRONG_KIND_5_2 = {
    False: "A regular file was expected by the '{0}' driver, but something else was given",
    True: "'{0}' driver expects either a character or block device",
}
NO_DATA: Final = range(0)


class FileDriver(Driver):
    """An image in a regular file."""

    format_name = "file"
    kind = DriverKind.PROTOCOL
    protocol_prefix = "file"
    needs_filename = True
    supports_copy_offload = True
    supports_discard = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK
    mutable_options = ("drop-cache", "x-check-cache-dropped")
    is_device: ClassVar[bool] = False

    @classmethod
    async def open(cls, opener: Opener) -> "FileDriver":
        driver = cls(opener.node)
        driver._take_options(opener)
        driver._fd_is_writable = opener.node.is_writable and not opener.node.auto_read_only
        driver._fd = driver._open_fd(writable=driver._fd_is_writable, direct=driver._direct)
        try:
            driver._check_kind_of_file()
        except BlockError:
            os.close(driver._fd)
            raise
        driver._uses_locks = driver._wants_locks and locks_work(driver._fd)
        return driver

    @classmethod
    def parse_filename(cls, filename: str) -> JsonObject:
        return {"filename": filename.removeprefix(f"{cls.protocol_prefix}:")}

    def _take_options(self, opener: Opener) -> None:
        options = opener.options
        self._path = opener.take_filename()
        self._use_page_cache(not opener.node.cache.direct)
        self._wants_locks = not self.is_device and _take_locking(options) != "off"
        if options.take_enum("aio", _AIO, "threads") == "native" and not self._direct:
            raise OptionError("aio=native was specified, but it requires cache.direct=on, which was not specified.")
        options.take_int("aio-max-batch")
        options.take_bool("drop-cache", True)
        options.take_bool("x-check-cache-dropped")
        self._locks = ImageLocks()
        self._uses_locks = False
        self._next_fd: tuple[int, bool, bool] | None = None
        self._old_fds: list[int] = []
        self._known_data = NO_DATA
        """Data that was found last: some file systems take long to find its end, each time."""
        self._fd = -1
        self._fd_is_writable = False
        self._writeback = Writeback()
        self._zero_range_works = True
        self._punch_hole_works = True

    def _use_page_cache(self, wanted: bool) -> None:
        self._direct = not wanted
        self._read = file_io.read_fully if wanted else file_io.read_direct
        self._write = file_io.write_fully if wanted else file_io.write_direct

    def _open_fd(self, *, writable: bool, direct: bool) -> int:
        # What is no image, a pipe, must not make the engine wait for somebody at its other end.
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK
        flags |= os.O_DIRECT if direct else 0
        try:
            return os.open(self._path, flags)
        except (OSError, ValueError) as error:
            code = error.errno or errno.EINVAL if isinstance(error, OSError) else errno.EINVAL
            raise BlockError(f"Could not open '{self._path}': {os.strerror(code)}", code) from error

    def _check_kind_of_file(self) -> None:
        mode = os.fstat(self._fd).st_mode
        fits = stat.S_ISBLK(mode) or stat.S_ISCHR(mode) if self.is_device else stat.S_ISREG(mode)
        if not fits:
            texts = _WRONG_KIND_5_2 if release.current() < release.QEMU_7_2 else _WRONG_KIND
            raise BlockError(texts[self.is_device].format(self.format_name, self._path), errno.EINVAL)

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        try:
            if length <= INLINE_BYTES:
                return self._read(self._fd, length, offset)
            return await run_in_thread(self._read, self._fd, length, offset)
        except OSError as error:
            raise BlockError.from_os_error(error) from error

    async def copy_scattered(self, places: Sequence[Range], target: "Node", ranges: Sequence[Range]) -> int:
        if self._direct:
            return 0
        return await target.pwrite_scattered(ranges, [FilePiece(self._fd, *place) for place in places])

    async def pwrite_scattered(self, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        if self._direct or any(length > INLINE_BYTES for _, length in ranges):
            return await run_in_thread(file_io.copy_pieces, pieces, self._fd, ranges)
        count = file_io.copy_pieces(pieces, self._fd, ranges)
        if not self.node.no_flush:
            self._writeback.copied(self._fd, sum(length for _, length in ranges[:count]))
        return count

    async def copy_range_from(
        self, offset: int, length: int, target: "Node", target_offset: int, flags: RequestFlag = RequestFlag.NONE
    ) -> None:
        await target.copy_range_to(target_offset, FilePiece(self._fd, offset, length), flags)

    async def copy_range_to(self, offset: int, piece: FilePiece, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._call(piece.length, file_io.copy_range, piece, self._fd, offset)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        try:
            if len(data) <= INLINE_BYTES:
                self._write(self._fd, data, offset)
            else:
                await run_in_thread(self._write, self._fd, data, offset)
        except OSError as error:
            raise BlockError.from_os_error(error) from error

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._call(length, self._zero, offset, length, RequestFlag.MAY_UNMAP in flags)

    async def discard(self, offset: int, length: int) -> None:
        await self._call(length, self._punch_hole, offset, length)

    async def _call(self, length: int, function: Callable[..., None], *arguments: object) -> None:
        try:
            if length <= INLINE_BYTES:
                function(*arguments)
            else:
                await run_in_thread(function, *arguments)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                raise BlockError.from_errno(errno.ENOTSUP) from error
            raise BlockError.from_os_error(error) from error
        finally:
            self._known_data = NO_DATA

    def _zero(self, offset: int, length: int, may_unmap: bool) -> None:
        """Zero a range by the first way that the file system has. Raises OSError."""
        end = os.fstat(self._fd).st_size
        if may_unmap and offset + length <= end and self._try(self._punch_hole, offset, length):
            return
        if self._zero_range_works and self._try(self._zero_range, offset, length):
            return
        if self._punch_hole_works and self._try(self._punch_hole, offset, length):
            fallocate(self._fd, ALLOCATE, offset, length)
            return
        if offset < end:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        fallocate(self._fd, ALLOCATE, offset, length)

    def _try(self, function: Callable[[int, int], None], offset: int, length: int) -> bool:
        """Whether the file system has it; other errors are raised."""
        try:
            function(offset, length)
        except OSError as error:
            if error.errno in UNSUPPORTED or error.errno in (errno.EINVAL, errno.EBUSY):
                return False
            raise
        return True

    def _zero_range(self, offset: int, length: int) -> None:
        try:
            fallocate(self._fd, ZERO_RANGE, offset, length)
        except OSError as error:
            self._zero_range_works = error.errno not in UNSUPPORTED
            raise

    def _punch_hole(self, offset: int, length: int) -> None:
        if not self._punch_hole_works:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        try:
            fallocate(self._fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
        except OSError as error:
            self._punch_hole_works = error.errno not in UNSUPPORTED
            raise

    async def flush(self) -> None:
        try:
            await run_in_thread(os.fdatasync, self._fd)
        except OSError as error:
            raise BlockError.from_os_error(error) from error

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        if not want_zero:
            data, count = True, length
        elif offset in self._known_data:
            data, count = True, min(length, self._known_data.stop - offset)
        else:
            data, count = self._find_extent(offset, length)
        return BlockStatus(length=count, data=data, zero=not data, host_offset=offset, file=self.node)

    def _find_extent(self, offset: int, length: int) -> tuple[bool, int]:
        """(data or hole, for how many bytes); data all over where the file system cannot tell."""
        try:
            data = os.lseek(self._fd, offset, os.SEEK_DATA)
            if data > offset:
                return False, min(length, data - offset)
            hole = max(offset + 1, os.lseek(self._fd, offset, os.SEEK_HOLE))
            self._known_data = range(offset, hole)
            return True, min(length, hole - offset)
        except OSError as error:
            return error.errno != errno.ENXIO, length

    # Size.

    def size(self) -> int:
        try:
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise BlockError.from_os_error(error) from error

    def allocated_size(self) -> int | None:
        return os.fstat(self._fd).st_blocks * 512

    def info(self) -> DriverInfo | None:
        """A file has no clusters, and says so: nobody has to guess."""
        return DriverInfo(cluster_size=0)

    def specific_info(self) -> JsonObject | None:
        """Since 8.0 there is one, with nothing in it on most file systems; a device's is called so too."""
        return {"type": "file", "data": {}} if release.current() > release.QEMU_7_2 else None

    def has_zero_init(self) -> bool:
        return True

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        try:
            await run_in_thread(resize_file, self._fd, size, preallocation)
        finally:
            self._known_data = NO_DATA

    def refresh_limits(self, limits: Limits) -> None:
        if self._direct:
            limits.request_alignment = file_io.probe_alignment(self._fd)

    def refresh_filename(self) -> str | None:
        return self._path

    # Permissions: the descriptor follows them with auto-read-only, the locks always.

    def prepare_permissions(self, permissions: Permission, shared: Permission) -> None:
        self._prepare_fd(permissions)
        if self._uses_locks:
            self._locks.prepare(self._fd, permissions, shared, self._path)

    def _prepare_fd(self, permissions: Permission) -> None:
        """Open the descriptor that the permissions and the node's options need, unless it is there."""
        node, direct = self.node, self.node.cache.direct
        self._drop_next_fd()
        writable = node.is_writable and (not node.auto_read_only or bool(permissions & _WRITERS))
        if (writable, direct) == (self._fd_is_writable, self._direct):
            return
        try:
            self._next_fd = self._open_fd(writable=writable, direct=direct), writable, direct
        except BlockError:
            # Who needs less than there is must not fail because the file is gone meanwhile, or has a new mode.
            if writable or direct != self._direct:
                raise

    def _drop_next_fd(self) -> None:
        if self._next_fd is not None:
            os.close(self._next_fd[0])
            self._next_fd = None

    def commit_permissions(self, permissions: Permission, shared: Permission) -> None:
        if self._next_fd is not None:
            fd, self._fd_is_writable, direct = self._next_fd
            self._replace_fd(fd)
            self._use_page_cache(not direct)
            self._next_fd = None
        if self._uses_locks:
            self._locks.commit(self._fd, permissions, shared)

    def abort_permissions(self) -> None:
        self._drop_next_fd()
        if self._uses_locks:
            self._locks.abort(self._fd)

    def _replace_fd(self, fd: int) -> None:
        """Go on with `fd`. The old one is closed now, or with the node when a thread may be using it."""
        old, self._fd = self._fd, fd
        if self._uses_locks:
            self._locks.copy_to(fd)
            self._locks.release(old)
        if self.node.in_flight or self._writeback.is_under_way:
            self._old_fds.append(old)
        else:
            os.close(old)

    async def close(self) -> None:
        await self._writeback.wait()
        for fd in (self._fd, *self._old_fds):
            if fd >= 0:
                os.close(fd)
        self._fd = -1
        self._old_fds.clear()


def _take_locking(options: Options) -> str:
    locking = options.take_str("locking", "auto")
    if locking not in _LOCKING:
        raise OptionError(f"invalid parameter value: {locking}")
    return locking
