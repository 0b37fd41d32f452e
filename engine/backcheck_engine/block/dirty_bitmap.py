"""Dirty bitmaps: which parts of a disk, in units of a granularity, are marked.

Ranges are in bytes everywhere. All operations work on runs of bits, so that a terabyte costs no more than the number of
its runs. A bitmap that records is set by the writes of the node that it is attached to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from bitarray import bitarray

from backcheck_engine.block.bit_runs import runs_of
from backcheck_engine.block.bit_scaling import scaled
from backcheck_engine.block.request import Buffer
from backcheck_engine.block.zero_bits import zero_bits


class SavedBits:
    """The bits of a bitmap at one moment; only `DirtyBitmap.restore_bits` looks inside."""

    __slots__ = ("bits", "count")

    def __init__(self, bits: bitarray, count: int) -> None:
        self.bits = bits
        self.count = count


class DirtyBitmap:
    """One bit for each `granularity` bytes (a power of two) of a disk of `size` bytes.

    Making or resizing one raises BlockError (ENOMEM) when there are more bits than memory holds.
    """

    def __init__(self, size: int, granularity: int, *, name: str | None = None, recording: bool = True) -> None:
        self.size = size
        self.granularity: Final = granularity
        self.name = name
        """None for a bitmap that no client can name."""
        self.recording = recording
        """Whether writes to the node set it."""
        self.busy = False
        """Whether an operation uses it, so that clients may not."""
        self.persistent = False
        """Whether it is to be stored in the image when the node closes."""
        self.read_only = False
        """Whether it was loaded from an image that cannot be written, so that it must not change."""
        self.inconsistent = False
        """Whether it was loaded from an image whose last user did not store it."""
        self.successor: DirtyBitmap | None = None
        """What records in its place while an operation uses it."""
        self._shift: Final = granularity.bit_length() - 1
        self._unit_count = -(-size // granularity)
        self._bits = zero_bits(self._unit_count)
        """As many as there are units, and clear ones up to a whole word."""
        self._set_bits = 0

    @property
    def count(self) -> int:
        """The marked amount in bytes, counting a partial last unit as a whole one."""
        return self._set_bits << self._shift

    @property
    def is_recording(self) -> bool:
        """Whether writes are noted, by this bitmap or by the successor that stands in for it."""
        return self.recording or (self.successor is not None and self.successor.recording)

    def get(self, offset: int) -> bool:
        """Whether the unit that holds `offset` is marked."""
        return bool(self._bits[offset >> self._shift])

    def set(self, offset: int, length: int) -> None:
        """Mark every unit that the range touches."""
        first, end = self._units(offset, length)
        if end - first == 1:
            # Nearly every write of a guest: in one unit, which other writes have marked before.
            if not self._bits[first]:
                self._bits[first] = 1
                self._set_bits += 1
            return
        self._set_bits += (end - first) - self._bits.count(1, first, end)
        self._bits[first:end] = 1

    def clear(self, offset: int, length: int) -> None:
        """Unmark every unit that the range touches."""
        first, end = self._units(offset, length)
        self._set_bits -= self._bits.count(1, first, end)
        self._bits[first:end] = 0

    def clear_all(self) -> None:
        """Unmark everything."""
        self._bits, self._set_bits = zero_bits(self._unit_count), 0

    def resize(self, size: int) -> None:
        """Follow the disk: what is added is unmarked, what is cut off is forgotten."""
        units = -(-size // self.granularity)
        if units != self._unit_count:
            kept = min(units, self._unit_count)
            bits = zero_bits(units)
            bits[:kept] = self._bits[:kept]
            self._bits, self._set_bits = bits, bits.count(1)
        self.size, self._unit_count = size, units

    def merge_from(self, other: DirtyBitmap) -> None:
        """Mark what `other`, of a disk of the same size, has marked; its granularity may be another."""
        if not other._set_bits:
            return
        self._bits |= scaled(other._bits, other._set_bits, other._shift, self._shift, len(self._bits))
        self._bits[self._unit_count :] = 0
        self._set_bits = self._bits.count(1)

    # Searching.

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
        """Every marked run in [offset, end) as (offset, length). What changes meanwhile may or may not be seen."""
        stop = self.size if end is None else min(end, self.size)
        shift = self._shift
        first, last = self._units(offset, stop - offset)
        for unit, clear in runs_of(self._bits, first, last):
            start = max(offset, unit << shift)
            yield start, min(clear << shift, stop) - start

    # The bits themselves.

    def save_bits(self) -> SavedBits:
        """What `restore_bits` needs to undo a change of the bits."""
        bits = self._bits.copy() if self._set_bits else zero_bits(self._unit_count)
        return SavedBits(bits, self._set_bits)

    def take_bits(self) -> SavedBits:
        """`clear_all`, and what `restore_bits` needs to undo it."""
        saved = SavedBits(self._bits, self._set_bits)
        self.clear_all()
        return saved

    def restore_bits(self, saved: SavedBits) -> None:
        """Mark again what was marked at `save_bits`, and nothing else; `saved` is used up."""
        self._bits, self._set_bits = saved.bits, saved.count

    def to_bytes(self, offset: int, length: int) -> bytes:
        """The bits of a range whose first unit is a multiple of eight, as images store them: lowest bit first."""
        first, end = self._units(offset, length)
        return self._bits[first:end].tobytes()

    def from_bytes(self, offset: int, data: Buffer) -> None:
        """Replace the bits from `offset` on, whose unit is a multiple of eight, by stored ones; excess is ignored."""
        first = offset >> self._shift
        loaded = bitarray(buffer=data, endian="little")
        if len(loaded) > self._unit_count - first:
            loaded = loaded[: max(0, self._unit_count - first)]
        end = first + len(loaded)
        # What a bitmap is loaded into is empty, and counting would take most of the time.
        before = self._bits.count(1, first, end) if self._set_bits else 0
        self._set_bits += loaded.count(1) - before
        self._bits[first:end] = loaded

    def sha256(self) -> str:
        """The digest of all bits, in whole words and at least one, in hexadecimal."""
        return hashlib.sha256(self._bits).hexdigest()

    def _units(self, offset: int, length: int) -> tuple[int, int]:
        """The units that a range of bytes touches, as [first, end)."""
        first = offset >> self._shift
        if length <= 0 or first >= self._unit_count:
            return 0, 0
        return first, min(((offset + length - 1) >> self._shift) + 1, self._unit_count)

    def _find(self, value: int, offset: int, end: int | None) -> int | None:
        stop = self.size if end is None else min(end, self.size)
        if offset >= stop:
            return None
        unit = self._bits.find(value, offset >> self._shift, ((stop - 1) >> self._shift) + 1)
        return None if unit < 0 else max(offset, unit << self._shift)
