"""New arrays of clear bits, in whole words of 64; large ones take memory only where bits are set."""

import errno
import mmap
from typing import Final

from bitarray import bitarray

from backcheck_engine.errors import BlockError

WORD_BITS: Final = 64
_LARGE_BYTES: Final = 64 * 1024
"""From here on, pages that the kernel clears when they are first written are worth a call."""


def zero_bits(count: int) -> bitarray:
    """At least `count` clear bits, lowest first in a byte; the array cannot change its length.

    Raises BlockError (ENOMEM) when there are more than memory holds.
    """
    words = max(1, -(-count // WORD_BITS))
    length = words * WORD_BITS // 8
    try:
        if length >= _LARGE_BYTES:
            pages = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            return bitarray(buffer=pages, endian="little")
        bits = bitarray(words * WORD_BITS, endian="little")
    except (MemoryError, OverflowError, OSError) as error:
        raise BlockError.from_errno(errno.ENOMEM) from error
    bits.setall(0)
    return bits
