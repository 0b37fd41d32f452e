"""L1 and L2 entries: what their bits mean, and how far a run of alike entries reaches.

Tables are `array('Q')` in native byte order; `unpack_words` and `pack_words` stand between them and the file.
"""

from __future__ import annotations

import enum
import functools
import sys
from array import array

COPIED = 1 << 63
"""The cluster's refcount is exactly 1, so that it may be written in place."""
COMPRESSED = 1 << 62
ZERO = 1
OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
L1_RESERVED_MASK = 0x7F00_0000_0000_01FF
L2_RESERVED_MASK = 0x3F00_0000_0000_01FE
REFCOUNT_TABLE_RESERVED_MASK = 0x1FF

_SWAP = sys.byteorder == "little"
_CHUNK = 4096
_WORD_BITS = 64


class ClusterKind(enum.Enum):
    """What an L2 entry, or one subcluster of an extended one, says about the guest's data."""

    UNALLOCATED = enum.auto()
    UNALLOCATED_WITH_OFFSET = enum.auto()
    """A subcluster without data in a cluster that has a place: only in extended L2 entries."""
    ZERO_PLAIN = enum.auto()
    ZERO_ALLOCATED = enum.auto()
    NORMAL = enum.auto()
    COMPRESSED = enum.auto()
    INVALID = enum.auto()

    # Members are looked up in sets for each cluster; what an enum inherits hashes its name, in Python.
    __hash__ = object.__hash__


ZERO_KINDS = frozenset({ClusterKind.ZERO_PLAIN, ClusterKind.ZERO_ALLOCATED})
UNALLOCATED_KINDS = frozenset({ClusterKind.UNALLOCATED, ClusterKind.UNALLOCATED_WITH_OFFSET})
PLACED_KINDS = frozenset({ClusterKind.NORMAL, ClusterKind.ZERO_ALLOCATED, ClusterKind.UNALLOCATED_WITH_OFFSET})
"""Kinds whose host offset means something."""


def unpack_words(data: bytes | bytearray | memoryview) -> array[int]:
    """A table from its big-endian bytes."""
    words = array("Q")
    words.frombytes(data)
    if _SWAP:
        words.byteswap()
    return words


def pack_words(words: array[int]) -> bytes:
    """A table's big-endian bytes."""
    if not _SWAP:
        return words.tobytes()
    swapped = words[:]
    swapped.byteswap()
    return swapped.tobytes()


def zero_words(count: int) -> array[int]:
    """A table of `count` zero entries."""
    return array("Q", bytes(8 * count))


def cluster_kind(entry: int, *, has_data_file: bool) -> ClusterKind:
    """The kind of a standard L2 entry (of an extended one: the kind of the cluster without its bitmap, ZERO unset)."""
    if entry & COMPRESSED:
        return ClusterKind.COMPRESSED
    if entry & ZERO:
        return ClusterKind.ZERO_ALLOCATED if entry & OFFSET_MASK else ClusterKind.ZERO_PLAIN
    if entry & OFFSET_MASK or (has_data_file and entry & COPIED):
        return ClusterKind.NORMAL
    return ClusterKind.UNALLOCATED


def progression(words: array[int], index: int, limit: int, step: int) -> int:
    """How many entries from `index`, at most `limit`, continue as first, first + step, first + 2 * step, …"""
    first = words[index]
    if limit <= 1 or words[index + 1] != (first + step) & 0xFFFF_FFFF_FFFF_FFFF:
        return min(limit, 1)
    count, chunk = 2, 16
    while count < limit:
        ones, ramp = _digits(chunk)
        found = words[index + count : index + min(count + chunk, limit)]
        difference = _number(found) ^ (first + count * step) * ones + step * ramp
        # What was not looked at differs too, above all that was.
        alike = ((difference & -difference).bit_length() - 1) // _WORD_BITS if difference else chunk
        if alike < len(found):
            return count + alike
        count += len(found)
        chunk = min(chunk * 4, _CHUNK)
    return limit


def _number(words: array[int]) -> int:
    """The number whose digits the words are, the lowest first: many are compared as one."""
    if not _SWAP:
        words = words[:]
        words.byteswap()
    return int.from_bytes(words.tobytes(), "little")


@functools.cache
def _digits(count: int) -> tuple[int, int]:
    """The numbers with the digits 1, 1, 1, … and 0, 1, 2, …"""
    return _number(array("Q", (1,)) * count), _number(array("Q", range(count)))


def same_kind_run(words: array[int], index: int, limit: int, cluster_size: int, *, has_data_file: bool) -> int:
    """How many standard entries from `index`, at most `limit`, map as one range.

    That is: the same kind and, where there is a place, contiguous places. The COPIED flag does not matter.
    Compressed clusters stand alone.
    """
    kind = cluster_kind(words[index], has_data_file=has_data_file)
    if kind is ClusterKind.COMPRESSED:
        return 1
    step = cluster_size if kind in PLACED_KINDS else 0
    total = 0
    while total < limit:
        run = progression(words, index + total, limit - total, step)
        total += run
        if total >= limit:
            break
        following = words[index + total]
        if following & ~COPIED != (words[index + total - 1] & ~COPIED) + step:
            break
        if cluster_kind(following, has_data_file=has_data_file) is not kind:
            break
    return total
