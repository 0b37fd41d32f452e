"""Copying several separate ranges of data together: read into one buffer, and written from it in few writes.

Whatever cannot be read or written together is, one range after the other; that also tells which of them fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.block_copy import BlockCopy, CopyFailure
from backcheck_engine.block.request import Range

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

Results = list[CopyFailure | None]
"""For each of the first ranges the failure, or None for success."""


class ScatteredCopy:
    """Copies ranges of one `BlockCopy`, with buffers that are used again: fresh memory costs as much as a copy."""

    def __init__(self, state: BlockCopy) -> None:
        self._state: Final = state
        self._spare_buffers: Final[list[bytearray]] = []

    @property
    def is_worthwhile(self) -> bool:
        """Whether nobody between here and the files wants to see, count or hold single requests."""
        nodes = (self._state.source.node, self._state.target.node)
        return self._state.writes_plainly and all(_is_unwatched(node) for node in nodes)

    async def copy(self, ranges: Sequence[Range], most_bytes: int) -> Results:
        """Copy `ranges`, at most `most_bytes` altogether; the result of each."""
        buffer = self._spare_buffers.pop() if self._spare_buffers else bytearray(most_bytes)
        starts = list(accumulate((length for _, length in ranges), initial=0))
        with memoryview(buffer) as view:
            read, failure = await self._read(ranges, starts, view)
            results = await self._write(ranges[:read], starts, view)
        self._spare_buffers.append(buffer)
        # What was not even read goes back to be copied, as does what failed.
        return results + [failure] * (len(ranges) - read)

    async def _read(
        self, ranges: Sequence[Range], starts: Sequence[int], buffer: memoryview
    ) -> tuple[int, CopyFailure | None]:
        """Fill the buffer; how many ranges could be read, and why not the next."""
        count = 0
        while count < len(ranges):
            together = await self._state.source.node.pread_scattered(ranges[count:], buffer[starts[count] :])
            if not together:
                data = await self._state.read(*ranges[count])
                if isinstance(data, CopyFailure):
                    return count, data
                buffer[starts[count] : starts[count + 1]] = data
            count += together or 1
        return count, None

    async def _write(self, ranges: Sequence[Range], starts: Sequence[int], buffer: memoryview) -> Results:
        results: Results = []
        while (count := len(results)) < len(ranges):
            together = await self._state.target.node.pwrite_scattered(ranges[count:], buffer[starts[count] :])
            if together:
                results += [None] * together
            else:
                data = buffer[starts[count] : starts[count + 1]]
                results.append(await self._state.write(ranges[count][0], data))
        return results


def _is_unwatched(node: Node) -> bool:
    """Whether a node and all below it are formats, whole files and layers: no filter, nothing remote."""
    if node.is_filter or (not node.children and node.format_name != "file"):
        return False
    return all(_is_unwatched(child.node) for child in node.children.values())
