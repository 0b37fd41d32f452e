"""Copying several clusters together to a target that compresses them: one request to read, one to write.

Whatever cannot be copied so is copied by itself, one cluster after the other; that also tells which one fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from backcheck_engine.block.block_copy import BlockCopy, CopyFailure, CopyMethod
from backcheck_engine.block.request import Range
from backcheck_engine.block.scattered_copy import is_unwatched
from backcheck_engine.errors import BlockError


class CompressedCopy:
    """Copies clusters of one `BlockCopy` that compresses."""

    def __init__(self, state: BlockCopy) -> None:
        self._state: Final = state

    @property
    def is_worthwhile(self) -> bool:
        """Whether nobody between here and the files wants to see, count or hold single requests."""
        state = self._state
        return state.only_copies and is_unwatched(state.source.node) and is_unwatched(state.target.node)

    async def copy(self, ranges: Sequence[Range]) -> list[CopyFailure | None]:
        """Copy `ranges` of data, each a cluster of the copy; for each the failure, or None for success."""
        results: list[CopyFailure | None] = []
        for offset, length, count in _adjoining(ranges):
            done = await self._copy_together(offset, length) if count > 1 else 0
            copied = -(-done // self._state.cluster_size)
            results += [None] * copied
            for alone in ranges[len(results) : len(results) + count - copied]:
                results.append(await self._state.copy_range(*alone, CopyMethod.DATA))
        return results

    async def _copy_together(self, offset: int, length: int) -> int:
        """Copy clusters that follow each other, as many of the first as can be; how many bytes that was."""
        source, target = self._state.source.node, self._state.target.node
        try:
            data = await source.pread(offset, length)
        except BlockError:
            return 0
        return await target.pwrite_compressed_together(offset, data, self._state.cluster_size)


def _adjoining(ranges: Sequence[Range]) -> Iterator[tuple[int, int, int]]:
    """(offset, length, how many) of ranges that follow each other without a gap."""
    first, end, count = 0, -1, 0
    for offset, length in ranges:
        if offset != end:
            if count:
                yield first, end - first, count
            first, count = offset, 0
        end = offset + length
        count += 1
    if count:
        yield first, end - first, count
