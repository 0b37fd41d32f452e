"""Extended L2 entries: the bitmap that says for each of a cluster's 32 subclusters what it holds.

Bit n of the low half: subcluster n is allocated. Bit n of the high half: it reads as zeroes.
"""

from __future__ import annotations

from backcheck_engine.drivers.format.qcow2.geometry import SUBCLUSTERS
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED, COPIED, OFFSET_MASK, ClusterKind

ALL = (1 << SUBCLUSTERS) - 1
ALL_ZERO = ALL << SUBCLUSTERS


def allocated_bits(first: int, end: int) -> int:
    """Bitmap with the subclusters [first, end) allocated."""
    return (1 << end) - (1 << first)


def zero_bits(first: int, end: int) -> int:
    """Bitmap with the subclusters [first, end) reading as zeroes."""
    return allocated_bits(first, end) << SUBCLUSTERS


def subcluster_kind(entry: int, bitmap: int, subcluster: int, *, has_data_file: bool) -> ClusterKind:
    """What one subcluster holds; INVALID when the entry contradicts itself."""
    if entry & COMPRESSED:
        return ClusterKind.COMPRESSED
    placed = bool(entry & OFFSET_MASK) or (has_data_file and bool(entry & COPIED))
    allocated = bitmap >> subcluster & 1
    zero = bitmap >> (subcluster + SUBCLUSTERS) & 1
    if allocated and (zero or not placed):
        return ClusterKind.INVALID
    if zero:
        return ClusterKind.ZERO_ALLOCATED if placed else ClusterKind.ZERO_PLAIN
    if allocated:
        return ClusterKind.NORMAL
    return ClusterKind.UNALLOCATED_WITH_OFFSET if placed else ClusterKind.UNALLOCATED


def subcluster_run(entry: int, bitmap: int, subcluster: int, *, has_data_file: bool) -> tuple[ClusterKind, int]:
    """The kind of one subcluster, and how many from it on within the cluster share that kind."""
    kind = subcluster_kind(entry, bitmap, subcluster, has_data_file=has_data_file)
    if kind is ClusterKind.COMPRESSED:
        return kind, SUBCLUSTERS - subcluster
    allocated = bitmap >> subcluster & 1
    zero = bitmap >> (subcluster + SUBCLUSTERS) & 1
    differs = (bitmap & ALL) ^ (ALL if allocated else 0) | (bitmap >> SUBCLUSTERS) ^ (ALL if zero else 0)
    differs >>= subcluster
    if not differs:
        return kind, SUBCLUSTERS - subcluster
    return kind, (differs & -differs).bit_length() - 1
