"""Keeps the memory of I/O buffers in the process: a buffer that is freed is the next one's, its pages in place.

By default the C library gives a large block back to the kernel when it is freed, and each new one begins with a page
fault for every 4 KiB, which costs as much as reading the data into it.
"""

from __future__ import annotations

from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3

_LARGEST_KEPT: Final = 32 * 2**20
"""Blocks from this size on, the largest that the GNU C library lets one choose, come from the kernel all the same."""
_KEPT: Final = 32 * 2**20
"""How much free memory may stay at the end of a heap."""
_GROWTH: Final = 4 * 2**20


def keep_buffers() -> None:
    """From now on, keep the memory of freed buffers. Without effect where the C library has no such settings."""
    import ctypes  # late: a program that copies nothing does without it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (
        (_M_MMAP_THRESHOLD, _LARGEST_KEPT),
        (_M_TRIM_THRESHOLD, _KEPT),
        (_M_TOP_PAD, _GROWTH),
    ):
        mallopt(parameter, value)
