"""Where a buffer has data, and where two buffers differ, at C's speed. Pure functions.

A bytearray compares with any buffer by memcmp; two memoryviews would compare item by item, a hundred times slower.
"""

import functools
from collections.abc import Iterator
from itertools import pairwise

from backcheck_engine.block.request import SECTOR_SIZE, Buffer


@functools.lru_cache(maxsize=8)
def _zeroes(length: int) -> bytearray:
    return bytearray(length)


def is_zero(data: Buffer) -> bool:
    """Whether all bytes are 0."""
    view = memoryview(data)
    return bool(_zeroes(len(view)) == view)


def first_data_sector(data: Buffer) -> int | None:
    """The offset of the first sector that is not all 0, or None."""
    return first_different_sector(_zeroes(len(data)), data)


def first_different_sector(one: Buffer, other: Buffer) -> int | None:
    """The offset of the first sector in which two buffers of the same length differ, or None."""
    first = one if isinstance(one, bytearray) else bytearray(one)
    second = memoryview(other)
    if first == second:
        return None
    low, high = 0, -(-len(first) // SECTOR_SIZE)
    while high - low > 1:
        middle = (low + high) // 2
        start, end = low * SECTOR_SIZE, middle * SECTOR_SIZE
        if first[start:end] == second[start:end]:
            low = middle
        else:
            high = middle
    return low * SECTOR_SIZE


def runs(data: Buffer, offset: int, granularity: int) -> Iterator[tuple[int, int, bool]]:
    """`data`, which belongs at `offset`, as runs (start, length, has_data) in `data`.

    The borders between runs are multiples of `granularity`, counted from offset 0.
    """
    view = memoryview(data)
    end = len(view)
    if is_zero(view):
        yield 0, end, False
        return
    first = min(-offset % granularity or granularity, end)
    # What does not begin with a zero byte is data; most of it is seen by that.
    beginnings = bytes(view[:1]) + bytes(view[first::granularity])
    if 0 not in beginnings:
        yield 0, end, True
        return
    start, had_data = 0, False
    borders = (0, *range(first, end, granularity), end)
    for byte, (position, following) in zip(beginnings, pairwise(borders), strict=True):
        has_data = byte != 0 or not is_zero(view[position:following])
        if has_data != had_data and position > start:
            yield start, position - start, had_data
            start = position
        had_data = has_data
    yield start, end - start, had_data


def differing_runs(one: Buffer, other: Buffer, offset: int, granularity: int) -> Iterator[tuple[int, int]]:
    """(start, length) of the parts of `one`, at `offset`, in which it differs from `other`; borders as in `runs`."""
    first, second = bytearray(one), memoryview(other)
    end = len(first)
    if first == second:
        return
    start: int | None = None
    position = 0
    while position < end:
        following = min(end, (offset + position) // granularity * granularity + granularity - offset)
        if first[position:following] != second[position:following]:
            start = position if start is None else start
        elif start is not None:
            yield start, position - start
            start = None
        position = following
    if start is not None:
        yield start, end - start
