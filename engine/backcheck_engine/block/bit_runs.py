"""Runs of set bits in a bitarray."""

from collections.abc import Iterator

from bitarray import bitarray


def runs_of(bits: bitarray, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Every run of set bits in [first, last) as (its first bit, the bit after it)."""
    start = bits.find(1, first, last)
    while start >= 0:
        end = bits.find(0, start, last)
        if end < 0:
            yield start, last
            return
        yield start, end
        start = bits.find(1, end, last)


def count_runs(bits: bitarray) -> int:
    """How many runs of set bits there are."""
    starts = bits >> 1
    starts.invert()
    starts &= bits
    return starts.count(1)
