"""The sizes that follow from a qcow2 header's cluster size, refcount width and kind of L2 entries, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

MIN_CLUSTER_BITS = 9
MAX_CLUSTER_BITS = 21
SUBCLUSTERS = 32
"""Subclusters of a cluster when L2 entries are extended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes in bytes unless a name says entries, words or bits."""

    cluster_bits: int
    cluster_size: int
    cluster_mask: int
    """cluster_size - 1"""
    extended_l2: bool
    l2_words: int
    """64-bit words of an L2 entry: 2 when extended."""
    l2_bits: int
    l2_entries: int
    l2_coverage_bits: int
    l2_coverage: int
    """Guest bytes that one L2 table maps."""
    subclusters: int
    subcluster_size: int
    refcount_order: int
    refcount_bits: int
    refcount_max: int
    refcount_block_bits: int
    refcount_block_entries: int
    table_entries: int
    """64-bit entries that fill one cluster of an L1 or refcount table."""
    compressed_offset_mask: int
    compressed_size_shift: int
    compressed_size_mask: int

    @classmethod
    def of(cls, cluster_bits: int, *, extended_l2: bool = False, refcount_order: int = 4) -> Geometry:
        """The geometry of an image with clusters of 2**cluster_bits bytes and refcounts of 2**refcount_order bits."""
        cluster_size = 1 << cluster_bits
        words = 2 if extended_l2 else 1
        l2_bits = cluster_bits - 3 - (words - 1)
        refcount_bits = 1 << refcount_order
        block_bits = cluster_bits + 3 - refcount_order
        size_shift = 62 - (cluster_bits - 8)
        return cls(
            cluster_bits=cluster_bits,
            cluster_size=cluster_size,
            cluster_mask=cluster_size - 1,
            extended_l2=extended_l2,
            l2_words=words,
            l2_bits=l2_bits,
            l2_entries=1 << l2_bits,
            l2_coverage_bits=l2_bits + cluster_bits,
            l2_coverage=1 << (l2_bits + cluster_bits),
            subclusters=SUBCLUSTERS if extended_l2 else 1,
            subcluster_size=cluster_size // SUBCLUSTERS if extended_l2 else cluster_size,
            refcount_order=refcount_order,
            refcount_bits=refcount_bits,
            refcount_max=(1 << refcount_bits) - 1,
            refcount_block_bits=block_bits,
            refcount_block_entries=1 << block_bits,
            table_entries=cluster_size // 8,
            compressed_offset_mask=(1 << size_shift) - 1,
            compressed_size_shift=size_shift,
            compressed_size_mask=(1 << (cluster_bits - 8)) - 1,
        )

    def clusters(self, length: int) -> int:
        """How many clusters `length` bytes need."""
        return (length + self.cluster_mask) >> self.cluster_bits

    def round_up(self, offset: int) -> int:
        """The first cluster boundary at or after `offset`."""
        return (offset + self.cluster_mask) & ~self.cluster_mask

    def round_up_to_subcluster(self, offset: int) -> int:
        """The first boundary of a subcluster, without extended L2 entries of a cluster, at or after `offset`."""
        return -(-offset // self.subcluster_size) * self.subcluster_size

    def l1_entries(self, size: int) -> int:
        """L1 entries that a disk of `size` bytes needs."""
        return (size + self.l2_coverage - 1) >> self.l2_coverage_bits
