"""The grain directory and grain tables of one sparse extent: looked up as they are needed, a bounded number kept.

An entry is a number of a sector of the file: 0 for nothing; in tables 1 for a grain of zeroes, where the extent has
such. Tables are written through, the copy behind the redundant directory too; directories never change.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.vmdk.header import ENTRY_SIZE, SparseHeader, pack_entries, parse_entries
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_PAGE_ENTRIES: Final = 1024
_PAGES_KEPT: Final = 64
_TABLES_KEPT: Final = 256


class GrainTables:
    """Where the grains of one extent are."""

    def __init__(self, file: Node, header: SparseHeader) -> None:
        self._file = file
        self._header = header
        self._pages: OrderedDict[tuple[int, int], array[int]] = OrderedDict()
        """Parts of the directories, by directory and number."""
        self._tables: OrderedDict[int, array[int]] = OrderedDict()
        self._lock = asyncio.Lock()
        """Held while a table is read or written, so that none is kept as it was before."""

    async def probe(self, shown_name: str) -> None:
        """Read the ends of the directories, which must be in reach. Raises BlockError in QEMU's words."""
        for offset, name in ((self._header.directory_offset, "l1 table"), (self._redundant, "l1 backup table")):
            if not offset or not self._header.directory_entries:
                continue
            end = offset + self._header.directory_entries * ENTRY_SIZE
            try:
                await self._file.pread(offset, ENTRY_SIZE)
                await self._file.pread(end - ENTRY_SIZE, ENTRY_SIZE)
            except BlockError as error:
                raise error.prefixed(f"Could not read {name} from extent '{shown_name}': ") from error

    @property
    def _redundant(self) -> int:
        return self._header.redundant_directory_offset or 0

    async def table(self, index: int) -> array[int] | None:
        """The entries of grain table `index`, not to be changed; None where there is no table. Raises BlockError."""
        if index >= self._header.directory_entries:
            return None
        found = self._tables.get(index)
        if found is not None:
            self._tables.move_to_end(index)
            return found
        async with self._lock:
            return self._tables.get(index) or await self._load(index)

    async def count_missing(self, index: int) -> int:
        """How many tables from `index` on, which is missing, are missing; perhaps there are more. Raises BlockError."""
        left = self._header.directory_entries - index
        if left <= 0:
            return 1
        if self._header.directory_offset + index * ENTRY_SIZE >= self._file.size:
            return left
        page = await self._page(self._header.directory_offset, index // _PAGE_ENTRIES)
        rest = page[index % _PAGE_ENTRIES :]
        if not any(rest):
            return len(rest)
        return next(count for count, sector in enumerate(rest) if sector) or 1

    async def _load(self, index: int) -> array[int] | None:
        offset = await self._table_offset(self._header.directory_offset, index)
        if not offset:
            return None
        entries = await self._read(offset, self._header.table_entries)
        self._tables[index] = entries
        if len(self._tables) > _TABLES_KEPT:
            self._tables.popitem(last=False)
        return entries

    async def _table_offset(self, directory: int, index: int) -> int:
        """Where table `index` is, by that directory; 0 where it is not."""
        page = await self._page(directory, index // _PAGE_ENTRIES)
        return page[index % _PAGE_ENTRIES] * SECTOR_SIZE

    async def _page(self, directory: int, number: int) -> array[int]:
        """A part of a directory."""
        page = self._pages.get((directory, number))
        if page is None:
            rest = self._header.directory_entries - number * _PAGE_ENTRIES
            page = await self._read(directory + number * _PAGE_ENTRIES * ENTRY_SIZE, min(_PAGE_ENTRIES, rest))
            self._pages[directory, number] = page
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        return page

    async def _read(self, offset: int, count: int) -> array[int]:
        return parse_entries(bytes(await self._file.pread(offset, count * ENTRY_SIZE)))

    async def set_entries(self, index: int, first: int, sectors: Sequence[int]) -> None:
        """Change entries of a table that there is, from number `first` on. Raises BlockError."""
        packed = pack_entries(sectors)
        async with self._lock:
            for directory in (self._header.directory_offset, self._redundant):
                table = await self._table_offset(directory, index) if directory else 0
                if table:
                    await self._file.pwrite(table + first * ENTRY_SIZE, packed)
                if directory == self._header.directory_offset and index in self._tables:
                    self._tables[index][first : first + len(sectors)] = parse_entries(packed)
