"""Refcount blocks in memory: entries of 1 to 64 bits, read and changed in ranges. No I/O."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from array import array

from backcheck_engine.drivers.format.qcow2.geometry import Geometry

_TYPECODES = {8: "B", 16: "H", 32: "I", 64: "Q"}
_SWAP = sys.byteorder == "little"


class RefcountRangeError(Exception):
    """A refcount would fall below 0 or rise above what its width holds."""


class RefcountBlock(ABC):
    """The refcounts of one refcount block, by index within it."""

    __slots__ = ()

    @staticmethod
    def unpack(geometry: Geometry, data: bytes | bytearray | memoryview) -> RefcountBlock:
        """A block from the bytes of its cluster."""
        if geometry.refcount_bits >= 8:
            return WideRefcounts(geometry.refcount_bits, data)
        return PackedRefcounts(geometry.refcount_bits, data)

    @staticmethod
    def empty(geometry: Geometry) -> RefcountBlock:
        """A block of zeroes."""
        return RefcountBlock.unpack(geometry, bytes(geometry.cluster_size))

    @abstractmethod
    def pack(self, start: int, end: int) -> bytes:
        """The bytes [start, end) of the cluster; both are multiples of 8."""

    @abstractmethod
    def get(self, index: int) -> int:
        """The refcount of one cluster."""

    @abstractmethod
    def set(self, index: int, value: int) -> None:
        """Set one refcount; `value` fits its width."""

    @abstractmethod
    def add(self, index: int, count: int, delta: int) -> None:
        """Add `delta` to `count` refcounts, or raise RefcountRangeError and change none."""

    @abstractmethod
    def find_free(self, index: int) -> int:
        """The first index at or after `index` whose refcount is 0, or the number of entries."""

    @abstractmethod
    def free_run(self, index: int, limit: int) -> int:
        """How many refcounts from `index` on, at most `limit`, are 0."""

    @abstractmethod
    def values(self) -> array[int]:
        """All refcounts, for analysis."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether all refcounts are 0."""


class WideRefcounts(RefcountBlock):
    """Refcounts of 8, 16, 32 or 64 bits."""

    __slots__ = ("_max", "_words")

    def __init__(self, bits: int, data: bytes | bytearray | memoryview) -> None:
        self._words = array(_TYPECODES[bits])
        self._words.frombytes(data)
        self._max = (1 << bits) - 1
        if _SWAP and bits > 8:
            self._words.byteswap()

    def pack(self, start: int, end: int) -> bytes:
        words = self._words[start // self._words.itemsize : end // self._words.itemsize]
        if _SWAP and words.itemsize > 1:
            words.byteswap()
        return words.tobytes()

    def get(self, index: int) -> int:
        return self._words[index]

    def set(self, index: int, value: int) -> None:
        self._words[index] = value

    def add(self, index: int, count: int, delta: int) -> None:
        words = self._words
        old = words[index : index + count]
        lowest, highest = (old[0], old[0]) if count == 1 else (min(old), max(old))
        if lowest + delta < 0 or highest + delta > self._max:
            raise RefcountRangeError
        if lowest == highest:
            words[index : index + count] = array(words.typecode, (lowest + delta,)) * count
        else:
            words[index : index + count] = array(words.typecode, [value + delta for value in old])

    def find_free(self, index: int) -> int:
        try:
            return self._words.index(0, index)
        except ValueError:
            return len(self._words)

    def free_run(self, index: int, limit: int) -> int:
        end = min(len(self._words), index + limit)
        found = self._words[index:end]
        if not any(found):
            return end - index
        return next(at for at, value in enumerate(found) if value)

    def values(self) -> array[int]:
        return self._words[:]

    def is_empty(self) -> bool:
        return not any(self._words)


class PackedRefcounts(RefcountBlock):
    """Refcounts of 1, 2 or 4 bits, several to a byte, the first in the lowest bits."""

    __slots__ = ("_bits", "_bytes", "_max", "_per_byte")

    def __init__(self, bits: int, data: bytes | bytearray | memoryview) -> None:
        self._bits = bits
        self._bytes = bytearray(data)
        self._max = (1 << bits) - 1
        self._per_byte = 8 // bits

    def pack(self, start: int, end: int) -> bytes:
        return bytes(self._bytes[start:end])

    def get(self, index: int) -> int:
        return self._bytes[index // self._per_byte] >> index % self._per_byte * self._bits & self._max

    def set(self, index: int, value: int) -> None:
        shift = index % self._per_byte * self._bits
        at = index // self._per_byte
        self._bytes[at] = self._bytes[at] & ~(self._max << shift) & 0xFF | value << shift

    def add(self, index: int, count: int, delta: int) -> None:
        changed = [self.get(at) + delta for at in range(index, index + count)]
        if min(changed) < 0 or max(changed) > self._max:
            raise RefcountRangeError
        for at, value in enumerate(changed, index):
            self.set(at, value)

    def find_free(self, index: int) -> int:
        entries = len(self._bytes) * self._per_byte
        while index < entries:
            if index % self._per_byte == 0:
                full = self._full_bytes(index // self._per_byte)
                index += full * self._per_byte
                if index >= entries:
                    break
            if self.get(index) == 0:
                return index
            index += 1
        return entries

    def _full_bytes(self, at: int) -> int:
        """How many bytes from `at` on are 0xff; their entries are all in use."""
        total, chunk = 0, 64
        while at + total < len(self._bytes):
            piece = self._bytes[at + total : at + total + chunk]
            rest = piece.lstrip(b"\xff")
            total += len(piece) - len(rest)
            if rest:
                break
            chunk *= 2
        return total

    def free_run(self, index: int, limit: int) -> int:
        end = min(len(self._bytes) * self._per_byte, index + limit)
        at = index
        while at < end and self.get(at) == 0:
            at += 1
        return at - index

    def values(self) -> array[int]:
        shifts = range(0, 8, self._bits)
        spread = [bytes(byte >> shift & self._max for shift in shifts) for byte in range(256)]
        return array("B", b"".join(map(spread.__getitem__, self._bytes)))

    def is_empty(self) -> bool:
        return not any(self._bytes)
