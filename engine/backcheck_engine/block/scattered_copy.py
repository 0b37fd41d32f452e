"""Copying several separate ranges of data together, from file to file of the host.

Whatever cannot be copied so is copied by itself, as what it is; that also tells which range fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.block_copy import BlockCopy, CopyFailure
from backcheck_engine.block.request import Range

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


class ScatteredCopy:
    """Copies ranges of one `BlockCopy`."""

    def __init__(self, state: BlockCopy) -> None:
        self._state: Final = state

    @property
    def is_worthwhile(self) -> bool:
        """Whether nobody between here and the files wants to see, count or hold single requests."""
        state = self._state
        if state.skip_unallocated or not state.writes_plainly:
            return False
        return is_unwatched(state.source.node) and is_unwatched(state.target.node)

    async def copy(self, ranges: Sequence[Range]) -> list[CopyFailure | None]:
        """Copy `ranges`, each at most a cluster of the copy; for each the failure, or None for success."""
        source, target = self._state.source.node, self._state.target.node
        results: list[CopyFailure | None] = []
        while rest := ranges[len(results) :]:
            together = await source.copy_scattered(rest, target, rest)
            results += [None] * together
            if not together:
                results.append(await self._copy_alone(*rest[0]))
        return results

    async def _copy_alone(self, offset: int, length: int) -> CopyFailure | None:
        area = await self._state.area_at(offset, offset + length)
        return await self._state.copy_range(offset, length, area.method)


def is_unwatched(node: Node) -> bool:
    """Whether a node and all below it are formats, whole files and layers: no filter, nothing remote."""
    if node.is_filter or (not node.children and node.format_name != "file"):
        return False
    return all(is_unwatched(child.node) for child in node.children.values())
