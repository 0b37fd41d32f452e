"""Write-back caches of metadata clusters, with the order in which their content may reach the file.

Rules of this file:
- everything here happens under the image's metadata lock;
- a table got from a cache is good until the next await on that cache, which may evict it;
- a cache that depends on another is written only after the other one is on stable storage, so that no entry reaches
  the file before what it relies on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from backcheck_engine.drivers.format.qcow2.overlap import Section

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image


T = TypeVar("T")

_KEPT = 8
"""The newest tables, which eviction leaves alone."""
_MAX_WRITE = 4 << 20


class _Slot(Generic[T]):
    __slots__ = ("dirty_end", "dirty_start", "table")

    def __init__(self, table: T) -> None:
        self.table = table
        self.dirty_start = 0
        self.dirty_end = 0


class MetadataCache(Generic[T]):
    """Tables by host offset. `pack(table, start, end)` gives those bytes of a table as they are in the file."""

    def __init__(
        self,
        image: Image,
        *,
        limit: int,
        unpack: Callable[[bytes | bytearray | memoryview], T],
        pack: Callable[[T, int, int], bytes],
        load_event: str,
        update_event: str,
        overlap_ignored: Section,
    ) -> None:
        self._image = image
        self._slots: OrderedDict[int, _Slot[T]] = OrderedDict()
        self._dirty: set[int] = set()
        self._unpack = unpack
        self._pack = pack
        self._load_event = load_event
        self._update_event = update_event
        self._overlap_ignored = overlap_ignored
        self._max_slots = 0
        self.set_limit(limit)

    def set_limit(self, limit: int) -> None:
        """How many bytes of tables are kept from now on."""
        self._max_slots = max(limit // self._image.geometry.cluster_size, 2 * _KEPT)
        self._depends: MetadataCache[Any] | None = None
        self._depends_on_flush = False

    def peek(self, offset: int) -> T | None:
        """The table at `offset` if it is cached."""
        slot = self._slots.get(offset)
        return slot.table if slot is not None else None

    async def load(self, offset: int) -> T:
        """The table at `offset`, read from the file when it is not cached."""
        slot = self._slots.get(offset)
        if slot is not None:
            self._slots.move_to_end(offset)
            return slot.table
        await self._make_room()
        await self._image.event(self._load_event)
        data = await self._image.file.pread(offset, self._image.geometry.cluster_size)
        table = self._unpack(data)
        self._slots[offset] = _Slot(table)
        return table

    async def create(self, offset: int, table: T) -> None:
        """Enter a new table, dirty all over, whatever the file has at `offset`."""
        await self._make_room()
        slot = _Slot(table)
        slot.dirty_end = self._image.geometry.cluster_size
        self._slots[offset] = slot
        self._slots.move_to_end(offset)
        self._dirty.add(offset)

    def touch(self, offset: int, start: int, end: int) -> None:
        """Bytes [start, end) of the table at `offset` were changed; both are multiples of 8.

        In a corrupt image a table may have freed the cluster that it is in: then there is nothing to write.
        """
        slot = self._slots.get(offset)
        if slot is None:
            return
        if slot.dirty_end:
            slot.dirty_start = min(slot.dirty_start, start)
            slot.dirty_end = max(slot.dirty_end, end)
        else:
            slot.dirty_start, slot.dirty_end = start, end
            self._dirty.add(offset)

    def forget(self, offset: int) -> None:
        """The cluster at `offset` is no table any more: drop it, unwritten."""
        self._slots.pop(offset, None)
        self._dirty.discard(offset)

    @property
    def is_dirty(self) -> bool:
        """Whether something is not written yet."""
        return bool(self._dirty)

    async def depend_on(self, other: MetadataCache[Any]) -> None:
        """What is dirty here from now on relies on what is dirty in `other`."""
        if other._depends is not None:
            await other.write_dependency()
        if self._depends is not None and self._depends is not other:
            await self.write_dependency()
        self._depends = other

    def depend_on_flush(self) -> None:
        """What is dirty here from now on relies on data that the file node has not flushed yet."""
        self._depends_on_flush = True

    async def write_dependency(self) -> None:
        """Put on stable storage what this cache depends on."""
        if self._depends is not None:
            await self._depends.flush()
            self._depends = None
        if self._depends_on_flush:
            await self._image.flush_data()
            self._depends_on_flush = False

    async def write_back(self) -> None:
        """Write what is dirty, neighbours in one request."""
        if not self._dirty:
            return
        await self.write_dependency()
        run: list[int] = []
        for offset in sorted(self._dirty):
            if run and not self._continues(run, offset):
                await self._write_run(run)
                run = []
            run.append(offset)
        await self._write_run(run)

    async def flush(self) -> None:
        """Write what is dirty and flush the file."""
        await self.write_back()
        await self._image.flush_file()

    def _continues(self, run: list[int], offset: int) -> bool:
        size = self._image.geometry.cluster_size
        last, slot = self._slots[run[-1]], self._slots[offset]
        return (
            run[-1] + size == offset
            and last.dirty_end == size
            and slot.dirty_start == 0
            and len(run) * size < _MAX_WRITE
        )

    async def _write_run(self, run: list[int]) -> None:
        slots = [self._slots[offset] for offset in run]
        pieces = [self._pack(slot.table, slot.dirty_start, slot.dirty_end) for slot in slots]
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        host = run[0] + slots[0].dirty_start
        await self._image.check_metadata_write(host, len(piece), self._overlap_ignored)
        await self._image.event(self._update_event)
        await self._image.file.pwrite(host, piece)
        for offset, slot in zip(run, slots, strict=True):
            slot.dirty_start = slot.dirty_end = 0
            self._dirty.discard(offset)

    async def _make_room(self) -> None:
        """Write back and drop the older half when the cache is full."""
        if len(self._slots) < self._max_slots:
            return
        await self.write_back()
        for offset in list(self._slots)[: len(self._slots) // 2]:
            if offset not in self._dirty:
                del self._slots[offset]
