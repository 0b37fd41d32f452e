"""Host clusters: their refcounts in the file, and finding, taking and freeing them.

Rules of this file: everything happens under the metadata lock; a refcount reaches the file before an entry that uses
the cluster, and falls only after the last such entry is gone (the caches' dependencies see to that); a cluster that
became free is taken again only when no entry in the file refers to it, and no discard of it is still to come.
"""

from __future__ import annotations

import errno
from array import array
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.cache import MetadataCache
from backcheck_engine.drivers.format.qcow2.compressed_places import CompressedPlaces
from backcheck_engine.drivers.format.qcow2.header import MAX_REFCOUNT_TABLE
from backcheck_engine.drivers.format.qcow2.hexadecimal import c_hex
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.drivers.format.qcow2.refcount import RefcountBlock, RefcountRangeError
from backcheck_engine.drivers.format.qcow2.tables import (
    REFCOUNT_TABLE_RESERVED_MASK,
    pack_words,
    unpack_words,
    zero_words,
)
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image

MAX_CLUSTER_OFFSET = (1 << 56) - 1


class Refcounts:
    """The refcount table and its blocks."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._geometry = image.geometry
        self.table: array[int] = zero_words(0)
        """Host offsets of the refcount blocks."""
        self.cache: MetadataCache[RefcountBlock] = MetadataCache(
            image,
            limit=image.options.refcount_cache_size,
            unpack=lambda data: RefcountBlock.unpack(image.geometry, data),
            pack=lambda block, start, end: block.pack(start, end),
            load_event="refblock_load",
            update_event="refblock_update_part",
            overlap_ignored=Section.REFCOUNT_BLOCK,
        )
        self.compressed = CompressedPlaces(self, image)
        """Where compressed data goes."""
        self._free_index = 0
        self._has_freed = False
        """Whether a cluster became free that nobody may have yet: entries in the file may refer to it."""
        self._discards: list[tuple[int, int]] = []

    async def load_table(self) -> None:
        """Read the refcount table."""
        header = self._image.header
        length = header.refcount_table_clusters * self._geometry.cluster_size
        if length:
            await self._image.event("reftable_load")
            self.table = unpack_words(await self._image.file.pread(header.refcount_table_offset, length))

    async def _block(self, index: int) -> RefcountBlock | None:
        """The refcount block for the clusters of one block's range, or None where there is none."""
        offset = self.table[index] & ~REFCOUNT_TABLE_RESERVED_MASK if index < len(self.table) else 0
        if not offset:
            return None
        cached = self.cache.peek(offset)
        if cached is not None:
            return cached
        if offset & self._geometry.cluster_mask:
            await self._image.corruption(
                f"Refblock offset {c_hex(offset)} unaligned (reftable index: {c_hex(index)})", fatal=True
            )
            raise BlockError.from_errno(errno.EIO)
        return await self.cache.load(offset)

    async def get(self, cluster: int) -> int:
        """The refcount of a host cluster."""
        block = await self._block(cluster >> self._geometry.refcount_block_bits)
        return block.get(cluster & (self._geometry.refcount_block_entries - 1)) if block is not None else 0

    def cached_count(self, cluster: int) -> int | None:
        """The refcount of a host cluster if its block is at hand."""
        index = cluster >> self._geometry.refcount_block_bits
        offset = self.table[index] & ~REFCOUNT_TABLE_RESERVED_MASK if index < len(self.table) else 0
        block = self.cache.peek(offset) if offset else None
        return block.get(cluster & (self._geometry.refcount_block_entries - 1)) if block is not None else None

    async def block_values(self, index: int) -> array[int] | None:
        """All refcounts of one block, or None where there is no block."""
        block = await self._block(index)
        return block.values() if block is not None else None

    async def set_count(self, cluster: int, count: int) -> None:
        """Set the refcount of a cluster whose block exists: for repair."""
        current = await self.get(cluster)
        await self.add(cluster, 1, count - current)
        if not count:
            self._freed(cluster, DiscardKind.ALWAYS)

    def forget_all(self) -> None:
        """Drop every cached block, unwritten: the file's refcounts are replaced as a whole."""
        for offset in self.table:
            self.cache.forget(offset & ~REFCOUNT_TABLE_RESERVED_MASK)
        self._free_index = 0
        self.compressed.forget_all()

    # Taking clusters.

    async def allocate(self, length: int, *, beyond_file: bool = False) -> int:
        """Take a contiguous range of clusters for `length` bytes and return its host offset.

        With `beyond_file` the range lies behind everything that the file holds, so that nothing old shows there.
        """
        await self._image.event("cluster_alloc")
        bits = self._geometry.cluster_bits
        count = self._geometry.clusters(length)
        while True:
            await self._release_freed()
            start = self._free_index
            if beyond_file:
                start = max(start, self._geometry.clusters(self._image.file.size))
            first = await self._find_free(count, start)
            if (first + count) << bits > MAX_CLUSTER_OFFSET:
                raise BlockError.from_errno(errno.EFBIG)
            if await self._ensure_blocks(first, count, first if beyond_file else first + count):
                continue
            await self.add(first, count, 1)
            if start == self._free_index:
                self._free_index = first + count
            return first << bits

    async def next_place(self, length: int) -> int:
        """Where `allocate` would put `length` bytes, unless that needs new refcount blocks."""
        return await self._find_free(self._geometry.clusters(length), self._free_index) << self._geometry.cluster_bits

    async def _find_free(self, count: int, start: int) -> int:
        """The first of `count` free clusters in a row, at or after `start`."""
        bits, entries = self._geometry.refcount_block_bits, self._geometry.refcount_block_entries
        at = start
        while True:
            block = await self._block(at >> bits)
            if block is not None:
                within = block.find_free(at & (entries - 1))
                at = (at & -entries) + within
                if within == entries:
                    continue
            free = await self._free_run(at, count)
            if free == count:
                return at
            at += free + 1

    async def _free_run(self, first: int, count: int) -> int:
        """How many clusters from `first`, at most `count`, are free."""
        bits, entries = self._geometry.refcount_block_bits, self._geometry.refcount_block_entries
        total = 0
        while total < count:
            at = first + total
            limit = min(count - total, entries - (at & (entries - 1)))
            block = await self._block(at >> bits)
            free = limit if block is None else block.free_run(at & (entries - 1), limit)
            total += free
            if free < limit:
                break
        return total

    async def add(self, first: int, count: int, delta: int) -> None:
        """Add `delta` to the refcounts of clusters whose blocks exist; what became free is not noticed."""
        bits, entries = self._geometry.refcount_block_bits, self._geometry.refcount_block_entries
        done = 0
        while done < count:
            at = first + done
            within = at & (entries - 1)
            size = min(count - done, entries - within)
            await self._image.event("refblock_alloc")
            block = await self._block(at >> bits)
            try:
                if block is None:
                    raise RefcountRangeError
                block.add(within, size, delta)
            except RefcountRangeError:
                if done:
                    await self.add(first, done, -delta)
                # QEMU's words for clusters that have no refcounts at all.
                raise BlockError.from_errno(errno.EAGAIN if block is None else errno.EINVAL) from None
            width = self._geometry.refcount_bits
            self.cache.touch(
                self.table[at >> bits] & ~REFCOUNT_TABLE_RESERVED_MASK,
                within * width // 64 * 8,
                ((within + size) * width + 63) // 64 * 8,
            )
            done += size

    async def count_used(self, limit: int) -> int:
        """How many clusters have references; counting stops above `limit`."""
        used = 0
        for index, entry in enumerate(self.table):
            if entry and (block := await self._block(index)) is not None:
                values = block.values()
                used += len(values) - values.count(0)
            if used > limit:
                break
        return used

    async def last_used(self) -> int:
        """The last cluster that has a reference, or -1."""
        for index in range(len(self.table) - 1, -1, -1):
            block = await self._block(index)
            if block is not None and not block.is_empty():
                values = block.values()
                within = next(at for at in range(len(values) - 1, -1, -1) if values[at])
                return (index << self._geometry.refcount_block_bits) + within
        return -1

    # Freeing clusters.

    async def free(self, offset: int, length: int, kind: DiscardKind) -> None:
        """Drop one reference to each cluster of the range, once the L2 entries that held it are written."""
        if not length:
            return
        await self._image.event("cluster_free")
        await self.cache.depend_on(self._image.l2)
        bits = self._geometry.cluster_bits
        first, last = offset >> bits, (offset + length - 1) >> bits
        await self.add(first, last - first + 1, -1)
        for cluster in range(first, last + 1):
            if await self.get(cluster) == 0:
                self._freed(cluster, kind)

    def _freed(self, cluster: int, kind: DiscardKind) -> None:
        offset = cluster << self._geometry.cluster_bits
        self._free_index = min(self._free_index, cluster)
        self._has_freed = True
        self.compressed.freed(offset)
        self.cache.forget(offset)
        self._image.l2.forget(offset)
        if self._image.options.passes_discard(kind):
            if self._discards and sum(self._discards[-1]) == offset:
                start, length = self._discards[-1]
                self._discards[-1] = (start, length + self._geometry.cluster_size)
            else:
                self._discards.append((offset, self._geometry.cluster_size))

    async def _release_freed(self) -> None:
        """Make clusters that became free ready for somebody else's data, which goes there at once.

        What a killed program leaves must not refer to them; that also power may fail costs nobody a flush here, as in
        QEMU. Raises BlockError when the entries cannot be written.
        """
        if not self._has_freed:
            return
        await self._image.l1.write_back()
        await self._image.l2.write_back()
        self._has_freed = False
        await self.pass_discards()

    async def pass_discards(self) -> None:
        """Tell the file about clusters that became free. Failures do not matter."""
        discards, self._discards = self._discards, []
        if not discards:
            return
        try:
            # What a killed program leaves must not refer to what is discarded.
            await self._image.l2.write_back()
        except BlockError:
            return
        for offset, length in discards:
            try:
                await self._image.file.discard(offset, length)
            except BlockError:
                continue

    async def drop_empty_blocks(self) -> None:
        """Give back refcount blocks that describe nothing, or nothing but themselves."""
        mask = self._geometry.refcount_block_entries - 1
        for index, offset in enumerate(self.table):
            block = await self._block(index) if offset else None
            if block is None:
                continue
            cluster = offset >> self._geometry.cluster_bits
            own = cluster >> self._geometry.refcount_block_bits == index
            if own and block.get(cluster & mask) == 1:
                block.set(cluster & mask, 0)
                empty = block.is_empty()
                block.set(cluster & mask, 1)
            else:
                empty = block.is_empty()
            if not empty:
                continue
            await self.cache.flush()
            table_offset = self._image.header.refcount_table_offset + 8 * index
            await self._image.write_metadata(table_offset, bytes(8), Section.REFCOUNT_TABLE)
            self.table[index] = 0
            self._image.metadata.forget()
            self.cache.forget(offset)
            if not own:
                await self.add(cluster, 1, -1)
            self._free_index = min(self._free_index, cluster)

    # New blocks and tables.

    async def _ensure_blocks(self, first: int, count: int, place: int) -> bool:
        """Add the refcount blocks that a range lacks, from the cluster `place` on; whether there were any."""
        bits = self._geometry.refcount_block_bits
        added = False
        for index in range(first >> bits, ((first + count - 1) >> bits) + 1):
            if index >= len(self.table):
                await self._grow_table(index)
                return True
            if not self.table[index]:
                await self._add_block(index, place)
                added = True
        return added

    async def _add_block(self, index: int, after: int) -> None:
        """Give the range `index` a refcount block, in a free cluster at or after `after`."""
        geometry = self._geometry
        bits = geometry.refcount_block_bits
        await self._release_freed()
        cluster = await self._find_free(1, after)
        owner = cluster >> bits
        if owner >= len(self.table):
            await self._grow_table(owner)
            return
        if owner != index and not self.table[owner]:
            # The block for that range describes itself; this one follows it.
            await self._add_block(owner, after)
            await self._add_block(index, after)
            return
        block = RefcountBlock.empty(geometry)
        if owner == index:
            block.set(cluster & (geometry.refcount_block_entries - 1), 1)
        else:
            await self.add(cluster, 1, 1)
            await self.cache.flush()
        offset = cluster << geometry.cluster_bits
        await self._image.event("refblock_alloc_write")
        await self.cache.create(offset, block)
        await self.cache.flush()
        await self._image.event("refblock_alloc_hookup")
        table_offset = self._image.header.refcount_table_offset + 8 * index
        await self._image.write_metadata(table_offset, offset.to_bytes(8, "big"), Section.REFCOUNT_TABLE)
        self.table[index] = offset
        self._image.metadata.add_refcount_block(offset)

    async def _grow_table(self, index: int) -> None:
        """Move the refcount table, larger, to the start of the range `index`, with the blocks that describe it."""
        await self._image.event("refblock_alloc_write_blocks")
        geometry = self._geometry
        entries = geometry.refcount_block_entries
        wanted = max(index + 2, len(self.table) * 3 // 2)
        blocks = 1
        while True:
            clusters = geometry.clusters(8 * max(wanted, index + blocks))
            if blocks * entries >= clusters + blocks:
                break
            blocks += 1
        if clusters * geometry.cluster_size > MAX_REFCOUNT_TABLE:
            raise BlockError.from_errno(errno.EFBIG)
        table = self.table[:]
        table.extend(zero_words(clusters * geometry.table_entries - len(table)))
        first = index * entries
        for number in range(blocks):
            offset = (first + number) << geometry.cluster_bits
            block = RefcountBlock.empty(geometry)
            used = min(max(clusters + blocks - number * entries, 0), entries)
            block.add(0, used, 1)
            await self.cache.create(offset, block)
            table[index + number] = offset
        await self.cache.flush()
        await self._switch_table(table, (first + blocks) << geometry.cluster_bits, clusters)

    async def _switch_table(self, table: array[int], offset: int, clusters: int) -> None:
        """Write a new refcount table, make the header refer to it, and free the old one."""
        image, geometry = self._image, self._geometry
        await image.event("refblock_alloc_write_table")
        await image.write_metadata(offset, pack_words(table), Section.REFCOUNT_TABLE)
        await image.flush_file()
        await image.event("refblock_alloc_switch_table")
        old = (image.header.refcount_table_offset, image.header.refcount_table_clusters * geometry.cluster_size)
        await image.set_refcount_table(offset, clusters)
        self.table = table
        for entry in table:
            if entry:
                image.metadata.add_refcount_block(entry)
        await self.free(*old, DiscardKind.OTHER)
