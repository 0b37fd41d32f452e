"""An open image: the state that reading, writing, allocating and checking share, and every change of its header."""

from __future__ import annotations

import asyncio
import errno
import struct
import sys
from array import array
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.qcow2.allocation import Refcounts
from backcheck_engine.drivers.format.qcow2.cache import MetadataCache
from backcheck_engine.drivers.format.qcow2.header import Autoclear, Header, Incompatible, pack_header
from backcheck_engine.drivers.format.qcow2.l1 import L1Table
from backcheck_engine.drivers.format.qcow2.options import RuntimeOptions
from backcheck_engine.drivers.format.qcow2.overlap import SECTION_NAMES, MetadataMap, Section
from backcheck_engine.drivers.format.qcow2.tables import pack_words, unpack_words
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.format.qcow2.bitmap_directory import DirectoryEntry
    from backcheck_engine.drivers.format.qcow2.snapshots import StoredSnapshot

_SIZE_AT = 24
_L1_AT = 36
_REFCOUNT_TABLE_AT = 48
_INCOMPATIBLE_AT = 72
_AUTOCLEAR_AT = 88


class Image:
    """One open image. `lock` guards all metadata, in memory and in the file; it is never held over data I/O."""

    def __init__(self, node: Node, header: Header, options: RuntimeOptions) -> None:
        self.node = node
        self.header = header
        self.geometry = header.geometry()
        self.options = options
        self.has_data_file = Incompatible.DATA_FILE in header.incompatible
        self.lock = asyncio.Lock()
        self.size = header.size // SECTOR_SIZE * SECTOR_SIZE
        """The virtual size: what a header says beyond whole sectors does not count."""
        self.snapshots: list[StoredSnapshot] = []
        self.snapshot_table_length = 0
        self.bitmaps: list[DirectoryEntry] = []
        """What the bitmap directory in the file says."""
        self.has_stored_bitmaps = False
        """Whether the bitmaps were stored, so that the image may be closed."""
        self.metadata = MetadataMap(self)
        self.l2: MetadataCache[array[int]] = MetadataCache(
            self,
            limit=options.l2_cache_size,
            unpack=unpack_words,
            pack=lambda words, start, end: pack_words(words[start // 8 : end // 8]),
            load_event="l2_load",
            update_event="l2_update",
            overlap_ignored=Section.ACTIVE_L2,
        )
        self.refcounts = Refcounts(self)
        self.l1 = L1Table(self)
        self.metadata_preallocated: bool | None = None
        """Whether the file has far fewer bytes than it refers to; None: not looked at yet."""
        self.is_lost = False
        """The image was found corrupt while it was being written: nothing works any more."""
        self._told_corruption = False

    # The nodes below.

    @property
    def file(self) -> Node:
        """Where the metadata is, and the data unless there is an external data file."""
        return self.node.file

    @property
    def data(self) -> Node:
        """Where the guest's data is."""
        return self.node.children["data-file"].node if self.has_data_file else self.node.file

    @property
    def data_file_is_raw(self) -> bool:
        """Whether the external data file has to read the same as the guest's disk."""
        return self.has_data_file and Autoclear.DATA_FILE_RAW in self.header.autoclear

    async def event(self, name: str) -> None:
        """Tell a blkdebug node below what is about to happen."""
        file = self.node.file
        if file.wants_debug_events:
            await file.debug_event(name)

    async def flush_file(self) -> None:
        """Put on stable storage what the file has been given."""
        await self.node.file.flush()

    async def flush_data(self) -> None:
        """Put on stable storage the data that was written."""
        await self.data.flush()

    # Writing metadata back.

    async def write_caches(self) -> None:
        """Write refcounts, L2 tables and L1 entries, each before what relies on it."""
        if not self.options.lazy_refcounts:
            await self.refcounts.cache.write_back()
        await self.l2.write_back()
        await self.l1.write_back()
        if not self.options.lazy_refcounts:
            await self.refcounts.cache.write_back()

    async def flush_caches(self) -> None:
        """Write everything, refcounts too, and flush the file."""
        await self.write_caches()
        await self.refcounts.cache.write_back()
        await self.flush_file()

    async def write_metadata(self, offset: int, data: bytes, section: Section) -> None:
        """Write metadata that no cache holds."""
        await self.check_metadata_write(offset, len(data), section)
        await self.file.pwrite(offset, data)

    async def check_metadata_write(self, offset: int, length: int, ignored: Section) -> None:
        """Refuse to write over other metadata, and give the image up when that was about to happen.

        Raises ENOMEDIUM for an image that was given up, perhaps while the request waited.
        """
        self.check_usable()
        section = self.metadata.find(offset, length, ignored)
        if section is not None:
            await self.corruption(
                f"Preventing invalid write on metadata (overlaps with {SECTION_NAMES[section]})",
                fatal=True,
                offset=offset,
                length=length,
            )
            raise BlockError.from_errno(errno.EIO)

    # The header.

    async def update_header(self, **changes: Any) -> None:
        """Write the whole header cluster with these fields changed."""
        header = replace(self.header, **changes)
        await self.file.pwrite(0, pack_header(header))
        self.header = header

    async def _write_fields(self, offset: int, kinds: str, **changes: Any) -> None:
        """Write neighbouring fields of the header, durably. Of a failure the file shows nothing, if it still can."""
        old = struct.pack(kinds, *(getattr(self.header, name) for name in changes))
        try:
            await self.file.pwrite(offset, struct.pack(kinds, *changes.values()))
            await self.flush_file()
        except BlockError:
            # The old tables stay in force here: to whoever opens the file, what goes into them must not be lost.
            if not self.is_lost:
                with suppress(BlockError):
                    await self.file.pwrite(offset, old)
            raise
        self.header = replace(self.header, **changes)

    async def set_size(self, size: int) -> None:
        """Record a new size of the disk."""
        await self._write_fields(_SIZE_AT, ">Q", size=size)
        self.size = size

    async def set_l1(self, offset: int, entries: int) -> None:
        """Make the header refer to another L1 table."""
        await self._write_fields(_L1_AT, ">IQ", l1_size=entries, l1_offset=offset)

    async def set_refcount_table(self, offset: int, clusters: int) -> None:
        """Make the header refer to another refcount table."""
        await self._write_fields(
            _REFCOUNT_TABLE_AT, ">QI", refcount_table_offset=offset, refcount_table_clusters=clusters
        )

    async def set_incompatible(self, bit: Incompatible, on: bool) -> None:
        """Set or clear an incompatible feature bit, durably."""
        bits = self.header.incompatible | bit if on else self.header.incompatible & ~bit
        if bits != self.header.incompatible:
            await self._write_fields(_INCOMPATIBLE_AT, ">Q", incompatible=bits)

    async def mark_dirty(self) -> None:
        """Before refcounts may lag behind: set the dirty bit, where lazy refcounts are in force."""
        if self.options.lazy_refcounts and Incompatible.DIRTY not in self.header.incompatible:
            await self.flush_file()
            await self.set_incompatible(Incompatible.DIRTY, True)

    async def mark_clean(self) -> None:
        """Write everything back and clear the dirty bit."""
        await self.flush_caches()
        await self.set_incompatible(Incompatible.DIRTY, False)

    # Damage.

    async def corruption(self, message: str, *, fatal: bool, offset: int = -1, length: int = -1) -> None:
        """The image contradicts itself: say so once and, when it was being written, mark it and give it up."""
        fatal = fatal and self.node.is_writable
        corrupt = Incompatible.CORRUPT in self.header.incompatible
        if self._told_corruption and (not fatal or corrupt):
            return
        if fatal:
            text = f"qcow2: Marking image as corrupt: {message}; further corruption events will be suppressed"
        else:
            text = f"qcow2: Image is corrupt: {message}; further non-fatal corruption events will be suppressed"
        print(text, file=sys.stderr, flush=True)
        listener = self.node.graph.on_corruption
        if listener is not None:
            listener(self.node, message, offset, length, fatal)
        self._told_corruption = True
        if fatal:
            self.is_lost = True
            with suppress(BlockError):
                await self.set_incompatible(Incompatible.CORRUPT, True)

    def check_usable(self) -> None:
        """Refuse requests on an image that was given up."""
        if self.is_lost:
            raise BlockError.from_errno(errno.ENOMEDIUM)
