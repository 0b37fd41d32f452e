"""The entries of L1 and L2 tables, read when they are needed, kept in memory up to a limit, and written at once.

An entry of the L1 table is where in the file an L2 table begins, one of an L2 table where a cluster does; 0 is nowhere.
The highest bit of an L2 entry says that the cluster is compressed: then the bits below it are the length of the
compressed data, and those below these its place.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from backcheck_engine.drivers.format.qcow.header import ENTRY_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backcheck_engine.block.node import Node

COMPRESSED: Final = 1 << 63
_BLOCK_ENTRIES: Final = 512
"""How many entries are read together."""
_MOST_BLOCKS: Final = 2048
"""8 MiB, whatever the image's size."""


class Table(NamedTuple):
    """A table of `entries` entries at `offset` in the file."""

    offset: int
    entries: int


class Tables:
    """The tables of one image. Every method raises BlockError; call them under the image's lock."""

    def __init__(self, file: Node) -> None:
        self._file = file
        self._blocks: OrderedDict[int, array[int]] = OrderedDict()

    async def read(self, table: Table, first: int, count: int) -> list[int]:
        """Entries of a table, from `first` on: at least one, up to `count`."""
        number, within = divmod(first, _BLOCK_ENTRIES)
        start = number * _BLOCK_ENTRIES
        length = min(_BLOCK_ENTRIES, table.entries - start)
        block = await self._block(table.offset + start * ENTRY_BYTES, length)
        return block[within : within + count].tolist()

    async def count_empty(self, table: Table, first: int) -> int:
        """How many entries from `first` on, which is empty, are empty; perhaps there are more."""
        if table.offset + first * ENTRY_BYTES >= self._file.size:
            return table.entries - first
        entries = await self.read(table, first, _BLOCK_ENTRIES)
        return next((count for count, entry in enumerate(entries) if entry), len(entries))

    async def write(self, table: Table, first: int, values: Sequence[int]) -> None:
        """Change entries, in the file before in memory."""
        packed = _swapped(array("Q", values)).tobytes()
        await self._file.pwrite(table.offset + first * ENTRY_BYTES, packed)
        for number, value in enumerate(values, first):
            block_number, within = divmod(number, _BLOCK_ENTRIES)
            block = self._blocks.get(table.offset + block_number * _BLOCK_ENTRIES * ENTRY_BYTES)
            # In a damaged image it may be that of a shorter table at the same place.
            if block is not None and within < len(block):
                block[within] = value

    def forget(self) -> None:
        """Read everything anew."""
        self._blocks.clear()

    async def _block(self, offset: int, entries: int) -> array[int]:
        found = self._blocks.get(offset)
        if found is not None and len(found) == entries:
            self._blocks.move_to_end(offset)
            return found
        block = array("Q", bytes(await self._file.pread(offset, entries * ENTRY_BYTES)))
        self._blocks[offset] = _swapped(block)
        if len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return block


def _swapped(numbers: array[int]) -> array[int]:
    """The same numbers between the file's order of bytes and the machine's, changed in place."""
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
