"""Arithmetic of a request that is not aligned: which whole blocks around it have to be read and merged."""

from typing import NamedTuple


class Padding(NamedTuple):
    """A request [offset, offset + length) and the blocks of `alignment` bytes (a power of two) that hold it."""

    offset: int
    length: int
    alignment: int

    @property
    def start(self) -> int:
        """Where the first block begins."""
        return self.offset & -self.alignment

    @property
    def end(self) -> int:
        """Where the last block ends."""
        return -(-(self.offset + self.length) & -self.alignment)

    @property
    def head(self) -> int:
        """Bytes before the request in the first block."""
        return self.offset & (self.alignment - 1)

    @property
    def tail(self) -> int:
        """Bytes after the request in the last block."""
        return -(self.offset + self.length) & (self.alignment - 1)

    @property
    def in_one_block(self) -> bool:
        """Whether head and tail share a block, or lie in neighbouring ones, so that one read serves both."""
        return self.end - self.start <= self.alignment * (2 if self.head and self.tail else 1)


def is_aligned(offset: int, length: int, alignment: int) -> bool:
    """Whether both are multiples of `alignment`, a power of two."""
    return not (offset | length) & (alignment - 1)
