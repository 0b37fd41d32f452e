"""Dirty bitmaps: which parts of a disk, in units of a granularity, are marked.

Ranges are in bytes everywhere. All operations work on runs of bits, so that a terabyte costs no more than the number of
its runs. A bitmap that records is set by the writes of the node that it is attached to.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from bitarray import bitarray

from backcheck_engine.errors import BlockError


class DirtyBitmap:
    """One bit for each `granularity` bytes (a power of two) of a disk of `size` bytes.

    Making one raises BlockError (ENOMEM) when there are more bits than memory holds.
    """

    def __init__(self, size: int, granularity: int, *, name: str | None = None, recording: bool = True) -> None:
        self.size: Final = size
        self.granularity: Final = granularity
        self.name = name
        """None for a bitmap that no client can name."""
        self.recording = recording
        """Whether writes to the node set it."""
        self.busy = False
        self.persistent = False
        self._shift: Final = granularity.bit_length() - 1
        try:
            self._bits = bitarray(-(-size // granularity))
        except (MemoryError, OverflowError) as error:
            raise BlockError.from_errno(errno.ENOMEM) from error
        self._bits.setall(0)
        self._set_bits = 0

    @property
    def count(self) -> int:
        """The marked amount in bytes, counting a partial last unit as a whole one."""
        return self._set_bits << self._shift

    def get(self, offset: int) -> bool:
        """Whether the unit that holds `offset` is marked."""
        return bool(self._bits[offset >> self._shift])

    def set(self, offset: int, length: int) -> None:
        """Mark every unit that the range touches."""
        first, end = self._units(offset, length)
        self._set_bits += (end - first) - self._bits.count(1, first, end)
        self._bits[first:end] = 1

    def clear(self, offset: int, length: int) -> None:
        """Unmark every unit that the range touches."""
        first, end = self._units(offset, length)
        self._set_bits -= self._bits.count(1, first, end)
        self._bits[first:end] = 0

    def next_dirty(self, offset: int, end: int | None = None) -> int | None:
        """The first marked offset in [offset, end), or None. At least `offset`, otherwise a unit's start."""
        return self._find(1, offset, end)

    def next_clear(self, offset: int, end: int | None = None) -> int | None:
        """The first unmarked offset in [offset, end), or None."""
        return self._find(0, offset, end)

    def next_dirty_run(self, offset: int, end: int | None = None, longest: int | None = None) -> tuple[int, int] | None:
        """(offset, length) of the first marked run in [offset, end), cut to `longest` bytes; None without one."""
        stop = self.size if end is None else min(end, self.size)
        start = self.next_dirty(offset, stop)
        if start is None:
            return None
        if longest is not None:
            stop = min(stop, start + longest)
        clear = self.next_clear(start, stop)
        return start, (stop if clear is None else clear) - start

    def runs(self, offset: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Every marked run in [offset, end) as (offset, length)."""
        while (run := self.next_dirty_run(offset, end)) is not None:
            yield run
            offset = sum(run)

    def _units(self, offset: int, length: int) -> tuple[int, int]:
        """The units that a range of bytes touches, as [first, end)."""
        if length <= 0:
            return 0, 0
        return offset >> self._shift, min(((offset + length - 1) >> self._shift) + 1, len(self._bits))

    def _find(self, value: int, offset: int, end: int | None) -> int | None:
        stop = self.size if end is None else min(end, self.size)
        if offset >= stop:
            return None
        first, last = self._units(offset, stop - offset)
        unit = self._bits.find(value, first, last)
        return None if unit < 0 else max(offset, unit << self._shift)
