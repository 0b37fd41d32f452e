"""The active L1 table: where each L2 table is; and getting, making and copying L2 tables."""

from __future__ import annotations

import errno
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.hexadecimal import c_hex
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.drivers.format.qcow2.tables import COPIED, OFFSET_MASK, pack_words, unpack_words, zero_words
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image

_WRITE_ENTRIES = 64
"""Dirty L1 entries that are this close are written together: one sector's worth."""


class L1Table:
    """The L1 entries in memory. Changed ones reach the file after the L2 tables that they refer to."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.entries: array[int] = zero_words(0)
        self._dirty: set[int] = set()

    async def load(self) -> None:
        """Read the table that the header names."""
        header = self._image.header
        if header.l1_size:
            self.entries = unpack_words(await self._image.file.pread(header.l1_offset, 8 * header.l1_size))

    def next_table(self, index: int, limit: int) -> int:
        """The first index in [index, limit) whose entry is not empty, or `limit`."""
        entries, step = self.entries, 4096
        while index < limit:
            found = entries[index : min(limit, index + step)]
            if any(found):
                return index + next(at for at, entry in enumerate(found) if entry)
            index += len(found)
        return limit

    async def l2_table(self, index: int) -> array[int] | None:
        """The L2 table of an L1 entry, for reading; None where there is none."""
        offset = self.entries[index] & OFFSET_MASK if index < len(self.entries) else 0
        if not offset:
            return None
        table = self._image.l2.peek(offset)
        if table is not None:
            return table
        await self._check_aligned(index, offset)
        return await self._image.l2.load(offset)

    async def _check_aligned(self, index: int, offset: int) -> None:
        if offset & self._image.geometry.cluster_mask:
            await self._image.corruption(
                f"L2 table offset {c_hex(offset)} unaligned (L1 index: {c_hex(index)})", fatal=True
            )
            raise BlockError.from_errno(errno.EIO)

    async def writable_l2_table(self, index: int) -> tuple[array[int], int]:
        """(the L2 table of an L1 entry, its host offset), made or copied so that it may be changed."""
        if index >= len(self.entries):
            await self.grow(index + 1, exact=False)
        entry = self.entries[index]
        offset = entry & OFFSET_MASK
        if entry & COPIED:
            await self._check_aligned(index, offset)
            table = self._image.l2.peek(offset)
            return (table if table is not None else await self._image.l2.load(offset)), offset
        return await self._new_l2_table(index, offset)

    async def _new_l2_table(self, index: int, old_offset: int) -> tuple[array[int], int]:
        image, geometry = self._image, self._image.geometry
        if old_offset:
            await self._check_aligned(index, old_offset)
        await image.mark_dirty()
        offset = await image.refcounts.allocate(geometry.cluster_size)
        if offset == 0:
            await image.corruption("Preventing invalid allocation of L2 table at offset 0", fatal=True)
            raise BlockError.from_errno(errno.EIO)
        old_entry = self.entries[index]
        try:
            table = await self._fill_l2_table(index, offset, old_offset)
        except BaseException:
            if self.entries[index] != old_entry:
                # The file may refer to the new table already: nobody has its place before this is written.
                self.set(index, old_entry)
            with suppress(BlockError):
                await image.refcounts.free(offset, geometry.cluster_size, DiscardKind.ALWAYS)
            raise
        if old_offset:
            await image.refcounts.free(old_offset, geometry.cluster_size, DiscardKind.OTHER)
        return table, offset

    async def _fill_l2_table(self, index: int, offset: int, old_offset: int) -> array[int]:
        """A new L2 table at `offset`, a copy where there was one, entered in the L1 table."""
        image = self._image
        # Where faults are injected, they have to strike the request that they strike in QEMU.
        is_eager = image.file.wants_debug_events
        if is_eager:
            await image.refcounts.cache.flush()
        if old_offset:
            await image.event("l2_alloc_cow_read")
            table = (await image.l2.load(old_offset))[:]
        else:
            table = zero_words(image.geometry.table_entries)
        await image.event("l2_alloc_write")
        if not image.options.lazy_refcounts:
            await image.l2.depend_on(image.refcounts.cache)
        await image.l2.create(offset, table)
        if is_eager:
            await image.l2.flush()
        elif not old_offset:
            # The place has to be there before data is: where that fills the disk, what is copied can still be found.
            await image.file.pwrite(offset, bytes(image.geometry.cluster_size))
        await image.event("l1_update")
        self.set(index, offset | COPIED)
        if old_offset or is_eager:
            await self.write_back()
            await image.flush_file()
        return table

    def set(self, index: int, entry: int) -> None:
        """Change an entry."""
        old = self.entries[index] & OFFSET_MASK
        if old:
            self._image.metadata.remove_l2_table(old)
        if entry & OFFSET_MASK:
            self._image.metadata.add_l2_table(entry & OFFSET_MASK)
        self.entries[index] = entry
        self._dirty.add(index)

    async def write_back(self) -> None:
        """Write changed entries, after the L2 tables and what these rely on."""
        if not self._dirty:
            return
        await self._image.l2.flush()
        run: list[int] = []
        for index in sorted(self._dirty):
            if run and index - run[-1] > _WRITE_ENTRIES:
                await self._write(run[0], run[-1] + 1)
                run = []
            run.append(index)
        await self._write(run[0], run[-1] + 1)
        self._dirty.clear()

    async def _write(self, first: int, end: int) -> None:
        offset = self._image.header.l1_offset + 8 * first
        await self._image.write_metadata(offset, pack_words(self.entries[first:end]), Section.ACTIVE_L1)

    async def grow(self, wanted: int, *, exact: bool) -> None:
        """Move the table to a larger place. Raises EFBIG for one larger than an image may have."""
        image = self._image
        if wanted <= len(self.entries):
            return
        size = wanted
        if not exact:
            size = max(len(self.entries), 1)
            while size < wanted:
                size = (size * 3 + 1) // 2
        if size > (32 << 20) // 8:
            raise BlockError.from_errno(errno.EFBIG)
        await self.write_back()
        await image.event("l1_grow_alloc_table")
        table = self.entries[:]
        table.extend(zero_words(size - len(table)))
        offset = await image.refcounts.allocate(8 * size)
        try:
            await image.refcounts.cache.flush()
            await image.event("l1_grow_write_table")
            await image.write_metadata(offset, pack_words(table), Section.NONE)
            await image.flush_file()
        except BaseException:
            with suppress(BlockError):
                await image.refcounts.free(offset, 8 * size, DiscardKind.OTHER)
            raise
        await image.event("l1_grow_activate_table")
        old_offset, old_length = image.header.l1_offset, 8 * len(self.entries)
        await image.set_l1(offset, size)
        self.entries = table
        await image.refcounts.free(old_offset, old_length, DiscardKind.OTHER)
