"""Whole reads and writes on a file descriptor, run inline or in a thread; without an event loop of their own."""

import errno
import mmap
import os
from collections.abc import Sequence

from backcheck_engine.block.request import Buffer, FilePiece, Range

_CANNOT_SEND = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV})
"""What a file system says that cannot take data from another file."""


def read_fully(fd: int, length: int, offset: int) -> Buffer:
    """`length` bytes; what is beyond the end of the file is zeroes."""
    data = os.pread(fd, length, offset)
    if len(data) == length:
        return data
    whole = bytearray(length)
    done = 0
    while data:
        whole[done : done + len(data)] = data
        done += len(data)
        data = os.pread(fd, length - done, offset + done) if done < length else b""
    return whole


def write_fully(fd: int, data: Buffer, offset: int) -> None:
    """All of `data`."""
    done = os.pwrite(fd, data, offset)
    length = len(data)
    if done == length:
        return
    view = memoryview(data)
    while done < length:
        count = os.pwrite(fd, view[done:], offset + done)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += count


def copy_pieces(pieces: Sequence[FilePiece], fd: int, ranges: Sequence[Range]) -> int:
    """Copy pieces of other files to `ranges`, up to the first that fails or is not there in full; how many."""
    position = -1
    for index, (piece, (offset, _)) in enumerate(zip(pieces, ranges, strict=True)):
        try:
            if offset != position:
                os.lseek(fd, offset, os.SEEK_SET)
            if not _copy_piece(piece, fd, offset):
                return index
        except OSError:
            return index
        position = offset + piece.length
    return len(pieces)


def _copy_piece(piece: FilePiece, fd: int, offset: int) -> bool:
    """Copy to where the position of `fd` is; whether all of it was there.

    The kernel copies from page to page: it shares no blocks between the files, so that neither becomes fragmented.
    """
    try:
        if os.sendfile(fd, piece.descriptor, piece.offset, piece.length) == piece.length:
            return True
    except OSError as error:
        if error.errno not in _CANNOT_SEND:
            raise
    data = os.pread(piece.descriptor, piece.length, piece.offset)
    if len(data) < piece.length:
        return False
    write_fully(fd, data, offset)
    os.lseek(fd, offset + piece.length, os.SEEK_SET)
    return True


def copy_range(piece: FilePiece, fd: int, offset: int) -> None:
    """Have the kernel copy all of `piece`; the files may come to share blocks. ENOSPC where the piece's file ends."""
    done = 0
    while done < piece.length:
        count = os.copy_file_range(piece.descriptor, fd, piece.length - done, piece.offset + done, offset + done)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += count


def read_direct(fd: int, length: int, offset: int) -> Buffer:
    """`read_fully` for a descriptor with O_DIRECT: through memory that begins on a page."""
    with mmap.mmap(-1, max(length, 1)) as buffer:
        done = 0
        with memoryview(buffer) as view:
            while done < length:
                count = os.preadv(fd, [view[done:length]], offset + done)
                done += count
                if not count or count % 512:
                    break
            return bytes(view[:length])


def write_direct(fd: int, data: Buffer, offset: int) -> None:
    """`write_fully` for a descriptor with O_DIRECT."""
    with mmap.mmap(-1, max(len(data), 1)) as buffer:
        buffer[: len(data)] = bytes(data)
        with memoryview(buffer) as view:
            write_fully(fd, view[: len(data)], offset)


def probe_alignment(fd: int) -> int:
    """The smallest block that a descriptor with O_DIRECT reads."""
    with mmap.mmap(-1, mmap.PAGESIZE) as buffer, memoryview(buffer) as view:
        for alignment in (512, 1024, 2048, 4096):
            try:
                os.preadv(fd, [view[:alignment]], 0)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    break
            else:
                return alignment
    return mmap.PAGESIZE
