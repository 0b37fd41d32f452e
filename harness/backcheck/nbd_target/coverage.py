"""How often each range of a disk was written: the sweep over the requests that were carried out."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A range and how many of the given ranges cover it."""

    offset: int
    length: int
    times: int

    def __str__(self) -> str:
        return f"{self.offset}+{self.length} {_times(self.times)}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def covered(size: int, ranges: Iterable[tuple[int, int]]) -> Iterator[Covered]:
    """The whole disk from 0 to size, cut where the number of ranges (offset, length) over it changes."""
    changes: dict[int, int] = {0: 0, size: 0}
    for offset, length in ranges:
        changes[offset] = changes.get(offset, 0) + 1
        changes[offset + length] = changes.get(offset + length, 0) - 1
    marks = sorted(changes)
    times = start = 0
    for mark in marks:
        if changes[mark] and mark > start:
            yield Covered(offset=start, length=mark - start, times=times)
            start = mark
        times += changes[mark]
    if size > start:
        yield Covered(offset=start, length=size - start, times=times)


def not_covered_once(
    size: int, ranges: Iterable[tuple[int, int]], expected: Iterable[tuple[int, int]], *, elsewhere: bool = False
) -> list[Covered]:
    """Where it is not so that the ranges cover `expected` once, whole, and nothing else.

    `expected` do not overlap. elsewhere: they may cover anything else as well.
    """
    wanted = [part for part in covered(size, expected) if part.times]
    starts = [part.offset for part in wanted]
    wrong = []
    for part in covered(size, ranges):
        first = max(bisect_right(starts, part.offset) - 1, 0)
        last = bisect_left(starts, part.offset + part.length)
        for offset, length, times in _cut(part, wanted[first:last]):
            if part.times != times and (times or not elsewhere):
                wrong.append(Covered(offset=offset, length=length, times=part.times))
    return wrong


def in_pieces(ranges: Iterable[tuple[int, int]], expected: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of `expected` that no single one of the ranges, which do not overlap there, covers whole."""
    ordered = sorted(ranges)
    starts = [offset for offset, _ in ordered]
    broken = []
    for offset, length in expected:
        index = bisect_right(starts, offset) - 1
        if index < 0 or sum(ordered[index]) < offset + length:
            broken.append((offset, length))
    return broken


def _cut(part: Covered, wanted: list[Covered]) -> Iterator[tuple[int, int, int]]:
    """A range cut at the edges of those that are wanted: offset, length, how often it is to be covered."""
    at, end = part.offset, part.offset + part.length
    for other in wanted:
        start, stop = max(other.offset, at), min(other.offset + other.length, end)
        if start >= stop:
            continue
        if start > at:
            yield at, start - at, 0
        yield start, stop - start, 1
        at = stop
    if at < end:
        yield at, end - at, 0
