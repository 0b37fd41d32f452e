"""Counting the references to each host cluster that an image's metadata makes, and what is wrong with that metadata."""

from __future__ import annotations

import errno
from array import array
from typing import TYPE_CHECKING

from backcheck_engine.block.image_upkeep import CheckResult, Repair
from backcheck_engine.drivers.format.qcow2.bitmap_data import read_table
from backcheck_engine.drivers.format.qcow2.bitmaps import read_directory
from backcheck_engine.drivers.format.qcow2.compression import descriptor_range
from backcheck_engine.drivers.format.qcow2.extended_l2 import ALL
from backcheck_engine.drivers.format.qcow2.header import MAX_L1
from backcheck_engine.drivers.format.qcow2.hexadecimal import c_hex
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.drivers.format.qcow2.tables import (
    COMPRESSED,
    COPIED,
    L1_RESERVED_MASK,
    L2_RESERVED_MASK,
    OFFSET_MASK,
    REFCOUNT_TABLE_RESERVED_MASK,
    ZERO,
    pack_words,
    progression,
    unpack_words,
)
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image

_MAX_EXTENSION = 1 << 40
"""How far beyond the file's end a refcount block may lie for the file to be extended: more than that is damage."""
_MAX_REFERENCES = (1 << 32) - 1


class References:
    """The references found, by host cluster, and the findings on the way."""

    def __init__(self, image: Image, result: CheckResult, repair: Repair) -> None:
        self._image = image
        self._geometry = image.geometry
        self._result = result
        self._repair = repair
        self._file_size = image.file.size
        self.counts: array[int] = array("I", bytes(4 * self._geometry.clusters(self._file_size)))
        self.needs_rebuild = False
        self._empty: set[int] = set()
        """Tables without entries; a damaged L1 table may name one many times."""
        self._repaired: list[int] = []
        """Entries of the present table that were put right, when it lies where no table can be."""

    def _error(self, message: str) -> None:
        self._result.messages.append(message)
        self._result.corruptions += 1

    async def count(self) -> None:
        """Count everything, in QEMU's order."""
        image, header = self._image, self._image.header
        self._add(0, self._geometry.cluster_size)
        await self._count_l1(image.l1.entries, header.l1_offset, is_active=True)
        for snapshot in image.snapshots:
            where = f"ERROR snapshot {snapshot.id} ({snapshot.name})"
            if snapshot.l1_offset & self._geometry.cluster_mask:
                self._error(
                    f"{where} l1_offset={c_hex(snapshot.l1_offset)}: L1 table is not cluster aligned; "
                    "snapshot table entry corrupted"
                )
            elif 8 * snapshot.l1_size > MAX_L1:
                self._error(
                    f"{where} l1_size={c_hex(snapshot.l1_size)}: L1 table is too large; snapshot table entry corrupted"
                )
            else:
                data = await image.file.pread(snapshot.l1_offset, 8 * snapshot.l1_size) if snapshot.l1_size else b""
                await self._count_l1(unpack_words(data), snapshot.l1_offset, is_active=False)
        self._add(header.snapshots_offset, image.snapshot_table_length)
        await self._count_bitmaps()
        self._add(header.refcount_table_offset, header.refcount_table_clusters * self._geometry.cluster_size)
        await self._count_refcount_blocks()

    def _add(self, offset: int, length: int) -> None:
        """Count one reference to each cluster that a host range touches."""
        if not length:
            return
        if offset + length - self._file_size >= self._geometry.cluster_size:
            self._error(
                "ERROR: counting reference for region exceeding the end of the file by one cluster or more: "
                f"offset {c_hex(offset)} size {c_hex(length)}"
            )
            return
        bits = self._geometry.cluster_bits
        first, end = offset >> bits, (offset + length - 1 >> bits) + 1
        if end > len(self.counts):
            self.counts.extend(array("I", bytes(4 * (end - len(self.counts)))))
        counts = self.counts
        if end - first > 8 and not any(counts[first:end]):
            counts[first:end] = array("I", (1,)) * (end - first)
            return
        for cluster in range(first, end):
            if counts[cluster] < min(self._geometry.refcount_max, _MAX_REFERENCES):
                counts[cluster] += 1
                continue
            self._error(f"ERROR: overflow cluster offset={c_hex(cluster << bits)}")
            self._result.messages.append(
                "Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy "
                "if the image cannot be opened for writing"
            )

    async def _count_l1(self, entries: array[int], offset: int, *, is_active: bool) -> None:
        self._add(offset, 8 * len(entries))
        for entry in entries:
            if not entry:
                continue
            if entry & L1_RESERVED_MASK:
                self._error(f"ERROR found L1 entry with reserved bits set: {entry:x}")
            table_offset = entry & OFFSET_MASK
            self._add(table_offset, self._geometry.cluster_size)
            if table_offset & self._geometry.cluster_mask:
                self._error(f"ERROR l2_offset={table_offset:x}: Table is not cluster aligned; L1 entry corrupted")
            if table_offset:
                await self._count_l2(table_offset, is_active=is_active)

    async def _count_l2(self, table_offset: int, *, is_active: bool) -> None:
        """Count the references of an L2 table's entries."""
        if table_offset in self._empty:
            return
        table = await self._table(table_offset)
        if not any(table):
            self._empty.add(table_offset)
            return
        frontier = [0]
        words = self._geometry.l2_words
        index, count = 0, self._geometry.l2_entries
        size = self._geometry.cluster_size
        while index < count:
            entry = table[index * words]
            run = 1
            if words == 1:
                if entry & ~ZERO == 0:
                    index += progression(table, index, count - index, 0)
                    continue
                if not entry & (COMPRESSED | L2_RESERVED_MASK | self._geometry.cluster_mask & OFFSET_MASK):
                    run = progression(table, index, count - index, size)
            elif not entry and not table[index * words + 1]:
                index += 1
                continue
            if entry & COMPRESSED:
                self._count_compressed(entry, index, table[index * words + 1] if words == 2 else 0, is_active)
            else:
                bitmap = table[index * words + 1] if words == 2 else 0
                if not self._is_repaired(table_offset, table, index, bitmap):
                    self._count_standard(entry, run, frontier, is_active)
            index += run
        if table_offset & self._geometry.cluster_mask:
            await self._write_repaired(table_offset, table)

    async def _write_repaired(self, table_offset: int, table: array[int]) -> None:
        """Write the repaired entries of a table that no cache holds."""
        length = 8 * self._geometry.l2_words
        for index in self._repaired:
            entry = pack_words(table[index * self._geometry.l2_words : (index + 1) * self._geometry.l2_words])
            section = Section.ACTIVE_L2 | Section.INACTIVE_L2
            await self._image.write_metadata(table_offset + index * length, entry, section)
        self._repaired.clear()

    async def _table(self, offset: int) -> array[int]:
        """An L2 table, also one at an offset where none can be."""
        if offset & self._geometry.cluster_mask:
            return unpack_words(await self._image.file.pread(offset, self._geometry.cluster_size))
        return await self._image.l2.load(offset)

    def _count_compressed(self, entry: int, index: int, bitmap: int, is_active: bool) -> None:
        result = self._result
        offset, length = descriptor_range(entry, self._geometry)
        if entry & COPIED:
            self._error(
                f"ERROR: coffset={c_hex(entry & self._geometry.compressed_offset_mask)}: "
                "copied flag must never be set for compressed clusters"
            )
        if self._image.has_data_file:
            self._error(f"ERROR compressed cluster {index} with data file, entry={c_hex(entry)}")
            return
        if bitmap:
            self._error(
                f"ERROR compressed cluster {index} with non-zero subcluster allocation bitmap, entry={c_hex(entry)}"
            )
            return
        self._add(offset, length)
        if is_active:
            result.allocated_clusters += 1
            result.compressed_clusters += 1
            result.fragmented_clusters += 1

    def _is_repaired(self, table_offset: int, table: array[int], index: int, bitmap: int) -> bool:
        """Report what is wrong with a standard entry; whether it was put right and refers to nothing now."""
        entry = table[index * self._geometry.l2_words]
        if entry & L2_RESERVED_MASK:
            self._error(f"ERROR found l2 entry with reserved bits set: {entry:x}")
        offset = entry & OFFSET_MASK
        if not offset:
            if bitmap & ALL and not (self._image.has_data_file and entry & COPIED):
                self._error("ERROR: Unallocated cluster has non-zero subcluster allocation map")
            return False
        if bitmap & ALL & (bitmap >> 32):
            self._error(f"ERROR offset={offset:x}: Allocated cluster has corrupted subcluster allocation bitmap")
            return False
        if not offset & self._geometry.cluster_mask:
            return False
        if bitmap & ALL if self._geometry.extended_l2 else not entry & ZERO:
            self._error(f"ERROR offset={offset:x}: Data cluster is not properly aligned; L2 entry corrupted.")
            return False
        text = f"offset={offset:x}: Preallocated cluster is not properly aligned; L2 entry corrupted."
        if Repair.ERRORS not in self._repair:
            self._error(f"ERROR {text}")
            return False
        self._result.messages.append(f"Repairing {text}")
        self._result.corruptions_fixed += 1
        table[index * self._geometry.l2_words] = ZERO
        if table_offset & self._geometry.cluster_mask:
            self._repaired.append(index)
        else:
            words = self._geometry.l2_words
            self._image.l2.touch(table_offset, 8 * index * words, 8 * (index + 1) * words)
        return True

    def _count_standard(self, entry: int, run: int, frontier: list[int], is_active: bool) -> None:
        """Count a run of standard clusters with contiguous places; `frontier` holds where the last one ended."""
        offset = entry & OFFSET_MASK
        placed = bool(offset) or (self._image.has_data_file and bool(entry & COPIED))
        if not placed:
            return
        size = self._geometry.cluster_size
        if is_active:
            self._result.allocated_clusters += run
            if frontier[0] and offset != frontier[0]:
                self._result.fragmented_clusters += 1
            frontier[0] = offset + run * size
        if not self._image.has_data_file:
            self._add_run(offset, run)

    def _add_run(self, offset: int, run: int) -> None:
        size = self._geometry.cluster_size
        if offset + run * size - self._file_size < size:
            self._add(offset, run * size)
            return
        for number in range(run):
            self._add(offset + number * size, size)

    async def _count_bitmaps(self) -> None:
        """Count the clusters of the directory, of bitmap tables and of bits. A table with nonsense ends the check."""
        extension = self._image.header.bitmaps
        if extension is None:
            return
        self._add(extension.directory_offset, extension.directory_size)
        for bitmap in await read_directory(self._image):
            self._add(bitmap.table_offset, 8 * bitmap.table_entries)
            for entry in await read_table(self._image, bitmap.table_offset, bitmap.table_entries):
                if entry & OFFSET_MASK:
                    self._add(entry & OFFSET_MASK, self._geometry.cluster_size)

    async def _count_refcount_blocks(self) -> None:
        bits = self._geometry.cluster_bits
        for index, entry in enumerate(self._image.refcounts.table):
            if not entry:
                continue
            offset = entry & ~REFCOUNT_TABLE_RESERVED_MASK
            problem = ""
            if entry & REFCOUNT_TABLE_RESERVED_MASK:
                problem = f"refcount table entry {index} has reserved bits set"
            elif offset & self._geometry.cluster_mask:
                problem = f"refcount block {index} is not cluster aligned; refcount table entry corrupted"
            elif offset >> bits >= len(self.counts):
                if not await self._extend_file(index, offset):
                    self._error(f"ERROR refcount block {index} is outside image")
                continue
            else:
                self._add(offset, self._geometry.cluster_size)
                count = self.counts[offset >> bits]
                if count == 1:
                    continue
                problem = f"refcount block {index} refcount={count}"
            self._error(f"ERROR {problem}")
            self.needs_rebuild = True

    async def _extend_file(self, index: int, offset: int) -> bool:
        """Repair a refcount block outside the file by making the file longer."""
        if Repair.ERRORS not in self._repair:
            return False
        self._result.messages.append(f"Repairing refcount block {index} is outside image")
        try:
            if offset > self._file_size + _MAX_EXTENSION:
                raise BlockError.from_errno(errno.EFBIG)
            await self._image.file.truncate(offset + self._geometry.cluster_size, exact=False)
        except BlockError as error:
            self._error(f"ERROR could not resize image: {error.message}")
            self.needs_rebuild = True
            return True
        self._file_size = self._image.file.size
        missing = self._geometry.clusters(self._file_size) - len(self.counts)
        self.counts.extend(array("I", bytes(4 * missing)))
        self._result.corruptions_fixed += 1
        self._add(offset, self._geometry.cluster_size)
        return True
