"""Where a buffer has data, and where two buffers differ, at C's speed. Pure functions."""

from collections.abc import Iterator

from backcheck_engine.block.request import SECTOR_SIZE, Buffer

_ZEROES = memoryview(bytes(2 * 1024 * 1024))


def is_zero(data: Buffer) -> bool:
    """Whether all bytes are 0."""
    view = memoryview(data)
    limit = len(_ZEROES)
    return all(
        view[start : start + limit] == _ZEROES[: min(limit, len(view) - start)] for start in range(0, len(view), limit)
    )


def first_data_sector(data: Buffer) -> int | None:
    """The offset of the first sector that is not all 0, or None."""
    return _first(memoryview(data), memoryview(bytes(len(data))))


def first_different_sector(one: Buffer, other: Buffer) -> int | None:
    """The offset of the first sector in which two buffers of the same length differ, or None."""
    return _first(memoryview(one), memoryview(other))


def _first(one: memoryview, other: memoryview) -> int | None:
    if one == other:
        return None
    low, high = 0, -(-len(one) // SECTOR_SIZE)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low * SECTOR_SIZE : middle * SECTOR_SIZE] == other[low * SECTOR_SIZE : middle * SECTOR_SIZE]:
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
    zeroes = _ZEROES if granularity <= len(_ZEROES) else memoryview(bytes(granularity))
    if is_zero(view):
        yield 0, end, False
        return
    start = position = 0
    has_data = False
    while position < end:
        following = min(end, (offset + position) // granularity * granularity + granularity - offset)
        now = view[position:following] != zeroes[: following - position]
        if now != has_data and position > start:
            yield start, position - start, has_data
            start = position
        has_data = now
        position = following
    yield start, end - start, has_data


def differing_runs(one: Buffer, other: Buffer, offset: int, granularity: int) -> Iterator[tuple[int, int]]:
    """(start, length) of the parts of `one`, at `offset`, in which it differs from `other`; borders as in `runs`."""
    first, second = memoryview(one), memoryview(other)
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
