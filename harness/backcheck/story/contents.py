"""What a disk should hold: a model made of the writes a case did, independent of every image and program.

A Content is immutable: keep one, write on, and the kept one is the point in time.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from backcheck.sizes import MiB

PIECE_SIZE = MiB
SECTOR_SIZE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """`length` bytes from `offset` on: all of value `pattern`, or those bytes again and again."""

    offset: int
    length: int
    pattern: int | bytes

    def read(self, start: int, end: int) -> bytes:
        """What it puts there; both are counted from its offset."""
        if isinstance(self.pattern, int):
            return bytes([self.pattern]) * (end - start)
        first = start % len(self.pattern)
        times = -(-(first + end - start) // len(self.pattern))
        return (self.pattern * times)[first : first + end - start]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The bytes of a disk of that size: zeroes, then the fills in their order, each over the ones before."""

    size: int
    fills: tuple[Fill, ...] = ()

    def written(self, pattern: int | bytes, offset: int, length: int) -> "Content":
        """The content after a write."""
        return replace(self, fills=(*self.fills, Fill(offset=offset, length=length, pattern=pattern)))

    def resized(self, size: int) -> "Content":
        """The content cut, or continued with zeroes."""
        fills = tuple(
            replace(fill, length=min(fill.length, size - fill.offset)) for fill in self.fills if fill.offset < size
        )
        return Content(size=size, fills=fills)

    def only(self, *kept: tuple[int, int]) -> "Content":
        """The same in these ranges, offset and length each, and zeroes elsewhere: what a job that copies them leaves.

        Ranges may reach over the end, as clusters do.
        """
        content = self
        end = 0
        for offset, length in [*sorted(kept), (self.size, 0)]:
            if offset > end:
                content = content.written(0, end, offset - end)
            end = max(end, offset + length)
        return content

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on."""
        data = bytearray(length)
        for fill in self.fills:
            start = max(fill.offset, offset) - offset
            end = min(fill.offset + fill.length, offset + length) - offset
            if start < end:
                here = offset - fill.offset
                data[start:end] = fill.read(here + start, here + end)
        return bytes(data)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of the whole, piece by piece."""
        for offset in range(0, self.size, PIECE_SIZE):
            yield offset, self.read(offset, min(PIECE_SIZE, self.size - offset))


def noise(length: int) -> bytes:
    """Bytes of which none tells the next, always the same: no compression makes them shorter."""
    return random.Random(length).randbytes(length)


def whole_sectors(size: int) -> int:
    """The size that a guest sees of a disk of any size."""
    return -(-size // SECTOR_SIZE) * SECTOR_SIZE


class HasContent(Protocol):
    """A drive, node or image, whose content is known by the writes that the case made."""

    @property
    def content(self) -> Content: ...


def content_of(what: Content | HasContent) -> Content:
    """The content itself, or that of a drive, node or image."""
    return what if isinstance(what, Content) else what.content


def first_difference(left: bytes, right: bytes) -> int | None:
    """The first index at which two byte strings of the same length differ."""
    if left == right:
        return None
    low, high = 0, len(left)
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low
