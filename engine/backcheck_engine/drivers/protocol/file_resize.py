"""Regular files of the host get another size, with or without room for it."""

import contextlib
import errno
import os

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.protocol import file_io
from backcheck_engine.errors import BlockError

_FULL_PREALLOCATION_PIECE = 2**20
_FIRST_BLOCK = 4096


def resize_file(fd: int, size: int, preallocation: str) -> None:
    """Cut or grow a regular file; what is added reads as zeroes. Raises BlockError in QEMU's words."""
    old_size = os.fstat(fd).st_size
    # To whom QEMU hands it on, it is a signed number.
    size -= size >> 63 << 64
    if preallocation not in _PREALLOCATORS:
        raise BlockError(f"Unsupported preallocation mode: {preallocation}", errno.ENOTSUP)
    if preallocation != "off" and size < old_size:
        raise BlockError("Cannot use preallocation for shrinking files", errno.ENOTSUP)
    try:
        _PREALLOCATORS[preallocation](fd, old_size, size)
    except OSError as error:
        if size > old_size:
            os.ftruncate(fd, old_size)
        code = error.errno or errno.EIO
        raise BlockError(f"{_PREALLOCATION_FAILURES[preallocation]}: {os.strerror(code)}", code) from error


def _truncate(fd: int, size: int) -> None:
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        code = error.errno or errno.EIO
        raise BlockError(f"Could not resize file: {os.strerror(code)}", code) from error


def _resize_sparse(fd: int, old_size: int, size: int) -> None:
    _truncate(fd, size)
    if old_size == 0 < size:
        _allocate_first_block(fd, size)


def _resize_allocated(fd: int, old_size: int, size: int) -> None:
    if size > old_size:
        os.posix_fallocate(fd, old_size, size - old_size)
        if old_size == 0:
            _allocate_first_block(fd, size)


def _allocate_first_block(fd: int, size: int) -> None:
    """As QEMU does: alignment can be probed only where something is allocated. It may fail."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, bytes(_FIRST_BLOCK if size >= _FIRST_BLOCK else SECTOR_SIZE), 0)


def _resize_written(fd: int, old_size: int, size: int) -> None:
    _truncate(fd, size)
    zeroes = bytes(min(_FULL_PREALLOCATION_PIECE, size - old_size))
    for offset in range(old_size, size, len(zeroes) or 1):
        file_io.write_fully(fd, zeroes[: size - offset], offset)
    os.fsync(fd)


_PREALLOCATORS = {"off": _resize_sparse, "falloc": _resize_allocated, "full": _resize_written}
_PREALLOCATION_FAILURES = {
    "falloc": "Could not preallocate new data",
    "full": "Could not write zeros for preallocation",
}
