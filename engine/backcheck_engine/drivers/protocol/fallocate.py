"""The system call fallocate with its modes, which Python's os module does not have."""

import errno
import functools
import os
from collections.abc import Callable
from typing import Any

ALLOCATE = 0
KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02
ZERO_RANGE = 0x10

UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.ENOTTY})


@functools.cache
def _libc() -> tuple[Callable[..., int], Callable[[], int]]:
    import ctypes

    libc: Any = ctypes.CDLL(None, use_errno=True)
    function: Any = libc.fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    function.restype = ctypes.c_int
    return function, ctypes.get_errno


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Allocate, zero or punch a range of a file. Raises OSError."""
    function, get_errno = _libc()
    while function(fd, mode, offset, length) != 0:
        error = get_errno()
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))
