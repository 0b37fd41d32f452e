"""Image locks: open file description locks on the bytes that QEMU uses: programs exclude each other as QEMUs do.

Byte 100 + n is held (shared) while permission n is in use, byte 200 + n while permission n is not shared. Who wants a
permission looks whether anybody holds its byte at 200; who does not share one looks at its byte at 100.
"""

import errno
import fcntl
import struct

from backcheck_engine.block.permissions import Permission, permission_names
from backcheck_engine.errors import BlockError

_USED_BASE = 100
_UNSHARED_BASE = 200

_GETLK = 36
_SETLK = 37
"""F_OFD_GETLK and F_OFD_SETLK, which the fcntl module does not name on every Python."""

_FLOCK = struct.Struct("hhqqi4x")

_PERMISSIONS = (Permission.CONSISTENT_READ, Permission.WRITE, Permission.WRITE_UNCHANGED, Permission.RESIZE)


def _byte(base: int, permission: Permission) -> int:
    return base + permission.value.bit_length() - 1


def _set_lock(fd: int, kind: int, byte: int) -> None:
    fcntl.fcntl(fd, _SETLK, _FLOCK.pack(kind, 0, byte, 1, 0))


def _is_locked_by_others(fd: int, byte: int) -> bool:
    answer = fcntl.fcntl(fd, _GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, byte, 1, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def locks_work(fd: int) -> bool:
    """Whether the kernel and the file system have open file description locks."""
    try:
        _is_locked_by_others(fd, _USED_BASE)
    except OSError:
        return False
    return True


class ImageLocks:
    """The locks of one user of a file; they belong to the file description of `fd`."""

    def __init__(self) -> None:
        self._used = Permission.NONE
        self._shared = Permission.ALL
        self._held: set[int] = set()

    def prepare(self, fd: int, used: Permission, shared: Permission, filename: str) -> None:
        """Take the locks for a change to (used, shared), keeping the old ones. Raises BlockError on a conflict."""
        if not (used & ~self._used or self._shared & ~shared):
            return
        try:
            self._apply(fd, self._used | used, self._shared & shared, unlock=False)
            check(fd, used, shared, filename)
        except BlockError:
            self.abort(fd)
            raise

    def abort(self, fd: int) -> None:
        """Go back to the locks for what was."""
        self._apply(fd, self._used, self._shared, unlock=True)

    def commit(self, fd: int, used: Permission, shared: Permission) -> None:
        """Drop the locks that what is now does not need."""
        self._used, self._shared = used, shared
        self._apply(fd, used, shared, unlock=True)

    def copy_to(self, fd: int) -> None:
        """Take everything that is held on another file description of the same file too."""
        for byte in self._held:
            _set_lock(fd, fcntl.F_RDLCK, byte)

    def release(self, fd: int) -> None:
        """Drop every lock on a file description that is no longer used; what is held elsewhere stays."""
        for byte in self._held:
            _set_lock(fd, fcntl.F_UNLCK, byte)

    def _apply(self, fd: int, used: Permission, shared: Permission, *, unlock: bool) -> None:
        wanted = {_byte(_USED_BASE, permission) for permission in _PERMISSIONS if permission & used}
        wanted |= {_byte(_UNSHARED_BASE, permission) for permission in _PERMISSIONS if not permission & shared}
        for byte in sorted(wanted - self._held):
            try:
                _set_lock(fd, fcntl.F_RDLCK, byte)
            except OSError as error:
                raise BlockError(f"Failed to lock byte {byte}", error.errno or errno.EAGAIN) from error
            self._held.add(byte)
        if unlock:
            for byte in sorted(self._held - wanted):
                _set_lock(fd, fcntl.F_UNLCK, byte)
                self._held.remove(byte)


def check(fd: int, used: Permission, shared: Permission, filename: str) -> None:
    """Raise BlockError when another user of the file does not share `used`, or uses what is not `shared`."""
    hint = f"Is another process using the image [{filename}]?"
    for permission in _PERMISSIONS:
        if permission & used and _is_locked_by_others(fd, _byte(_UNSHARED_BASE, permission)):
            raise BlockError(f'Failed to get "{permission_names(permission)}" lock', errno.EAGAIN, hint=hint)
    for permission in _PERMISSIONS:
        if not permission & shared and _is_locked_by_others(fd, _byte(_USED_BASE, permission)):
            raise BlockError(f'Failed to get shared "{permission_names(permission)}" lock', errno.EAGAIN, hint=hint)
