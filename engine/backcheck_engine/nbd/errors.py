"""Errors on the NBD wire: which errno a number stands for, which number an errno travels as; a peer's own mistakes."""

import errno
from typing import Final

from backcheck_engine.errors import BlockError

EIO: Final = 5
EINVAL: Final = 22

_TO_ERRNO: Final = {
    0: 0,
    1: errno.EPERM,
    5: errno.EIO,
    12: errno.ENOMEM,
    22: errno.EINVAL,
    28: errno.ENOSPC,
    75: errno.EOVERFLOW,
    95: errno.ENOTSUP,
    108: errno.ESHUTDOWN,
}

_TO_WIRE: Final = {code: number for number, code in _TO_ERRNO.items()} | {
    errno.EROFS: 1,
    errno.EDQUOT: 28,
    errno.EFBIG: 28,
}


class WireError(BlockError):
    """The peer sent what no message of the protocol is; the connection is of no use afterwards."""

    def __init__(self, message: str, code: int = errno.EINVAL) -> None:
        super().__init__(message, code)


class TrailingBytes(WireError):
    """A payload goes on after its last part."""


def to_errno(number: int) -> int:
    """The errno for an error number of the wire; one that the protocol does not have is EINVAL."""
    return _TO_ERRNO.get(number, errno.EINVAL)


def to_wire(code: int) -> int:
    """The error number that `code` travels as; an errno without a number of its own is EINVAL, as in QEMU."""
    return _TO_WIRE.get(code, EINVAL)
