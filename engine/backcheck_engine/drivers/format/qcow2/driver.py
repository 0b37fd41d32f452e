"""The qcow2 driver: one image behind one node, each request handed to the part that knows how."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, Limits
from backcheck_engine.block.image_upkeep import CheckResult, Repair, Snapshot
from backcheck_engine.block.request import BlockStatus, Buffer, FilePiece, Range, RequestFlag
from backcheck_engine.drivers.format.qcow2 import offloading, reading, status
from backcheck_engine.drivers.format.qcow2.bitmaps import (
    check_new_bitmap,
    freeze_bitmaps,
    load_bitmaps,
    remove_bitmap,
    store_bitmaps,
    thaw_bitmaps,
)
from backcheck_engine.drivers.format.qcow2.compressed_writing import CompressedWriter
from backcheck_engine.drivers.format.qcow2.header import MAX_BACKING_NAME, Incompatible
from backcheck_engine.drivers.format.qcow2.inactivation import inactivate_image
from backcheck_engine.drivers.format.qcow2.opening import open_image
from backcheck_engine.drivers.format.qcow2.options import MUTABLE_OPTIONS, DiscardKind, take_options
from backcheck_engine.drivers.format.qcow2.resize import Resizer
from backcheck_engine.drivers.format.qcow2.specific_info import specific_info
from backcheck_engine.drivers.format.qcow2.writing import Writer
from backcheck_engine.drivers.format.qcow2.zeroing import Zeroer
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener
    from backcheck_engine.block.options import Options
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.json_value import JsonObject


class Qcow2Driver(Driver):
    """qcow2, versions 2 and 3."""

    format_name: ClassVar[str] = "qcow2"
    kind: ClassVar[DriverKind] = DriverKind.FORMAT
    supports_backing: ClassVar[bool] = True
    supports_compressed_writes: ClassVar[bool] = True
    supports_copy_offload: ClassVar[bool] = True
    supports_discard = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK
    mutable_options = MUTABLE_OPTIONS

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.image: Image
        self._writer: Writer
        self._compressed_writer: CompressedWriter
        self._zeroer: Zeroer
        self._resizer: Resizer
        self._is_open = False

    @classmethod
    async def open(cls, opener: Opener) -> Qcow2Driver:
        driver = cls(opener.node)
        image = await open_image(opener)
        driver.image = image
        driver._writer = Writer(image)
        driver._compressed_writer = CompressedWriter(image, driver._writer)
        driver._zeroer = Zeroer(image, driver._writer)
        driver._resizer = Resizer(image, driver._writer, driver._zeroer)
        await load_bitmaps(image)
        if opener.node.is_writable and not opener.check and Incompatible.DIRTY in image.header.incompatible:
            await driver._repair_dirty()
        driver._is_open = True
        return driver

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        self.image.check_usable()
        return await reading.read(self.image, offset, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        self.image.check_usable()
        await self._writer.write(offset, data)

    async def copy_scattered(self, places: Sequence[Range], target: Node, ranges: Sequence[Range]) -> int:
        self.image.check_usable()
        return await reading.copy_scattered(self.image, places, target, ranges)

    async def pwrite_scattered(self, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        self.image.check_usable()
        return await self._writer.scattered.write(ranges, pieces)

    async def copy_range_from(
        self, offset: int, length: int, target: Node, target_offset: int, flags: RequestFlag = RequestFlag.NONE
    ) -> None:
        self.image.check_usable()
        await offloading.copy_range_from(self.image, offset, length, target, target_offset, flags)

    async def copy_range_to(self, offset: int, piece: FilePiece, flags: RequestFlag = RequestFlag.NONE) -> None:
        self.image.check_usable()
        await self._writer.offloaded.copy_range_to(offset, piece, flags)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        self.image.check_usable()
        await self._zeroer.write_zeroes(offset, length, may_unmap=RequestFlag.MAY_UNMAP in flags)

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        self.image.check_usable()
        await self._compressed_writer.write(offset, data)

    async def pwrite_compressed_together(self, offset: int, data: Buffer) -> int:
        self.image.check_usable()
        return await self._compressed_writer.write_together(offset, data)

    async def discard(self, offset: int, length: int) -> None:
        self.image.check_usable()
        await self._zeroer.discard(offset, length)

    async def flush(self) -> None:
        if self.image.is_lost or not self.node.is_writable:
            return
        async with self.image.lock:
            await self.image.write_caches()

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        self.image.check_usable()
        return await status.block_status(self.image, offset, length)

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        self.image.check_usable()
        await self._resizer.resize(size, exact=exact, preallocation=preallocation, zero=zero)

    async def load_vmstate(self, offset: int, length: int) -> Buffer:
        return await self.pread(self.info().vm_state_offset + offset, length)

    async def save_vmstate(self, offset: int, data: Buffer) -> None:
        await self.pwrite(self.info().vm_state_offset + offset, data)

    # Dirty bitmaps that outlive the program.

    def stores_bitmaps(self) -> bool:
        return self.image.header.version >= 3

    async def check_new_bitmap(self, name: str, granularity: int) -> None:
        check_new_bitmap(self.image, name, granularity)

    async def remove_stored_bitmap(self, name: str) -> None:
        async with self.image.lock:
            await remove_bitmap(self.image, name)

    # Facts.

    def size(self) -> int:
        return self.image.size

    def allocated_size(self) -> int | None:
        sizes = [child.node.allocated_size() for name, child in self.node.children.items() if name != "backing"]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def info(self) -> DriverInfo:
        geometry = self.image.geometry
        return DriverInfo(
            cluster_size=geometry.cluster_size,
            subcluster_size=geometry.subcluster_size,
            is_dirty=Incompatible.DIRTY in self.image.header.incompatible,
            vm_state_offset=geometry.l1_entries(self.image.size) * geometry.l2_coverage,
        )

    def specific_info(self) -> JsonObject:
        return specific_info(self.image)

    def snapshots(self) -> list[Snapshot]:
        return [stored.summary() for stored in self.image.snapshots]

    def has_zero_init(self) -> bool:
        return True

    def refresh_limits(self, limits: Limits) -> None:
        limits.request_alignment = 1
        limits.pwrite_zeroes_alignment = self.image.geometry.subcluster_size
        limits.pdiscard_alignment = self.image.geometry.cluster_size

    # For tools.

    async def change_backing_file(self, filename: str | None, format_name: str | None) -> None:
        name, kind = filename or "", (format_name or "") if filename else ""
        if name and self.image.data_file_is_raw:
            raise BlockError.from_errno(errno.EINVAL)
        if len(name.encode()) > MAX_BACKING_NAME:
            raise BlockError.from_errno(errno.EINVAL)
        async with self.image.lock:
            await self.image.update_header(backing_name=name, backing_format=kind)
            await self.image.flush_file()

    async def make_empty(self) -> None:
        self.image.check_usable()
        size = self.image.geometry.round_up(self.image.size)
        await self._writer.settle(0, size)
        try:
            await self._zeroer.discard_entries(0, size, DiscardKind.SNAPSHOT, full=True)
        finally:
            self.image.lock.release()

    async def check(self, repair: Repair) -> CheckResult:
        from backcheck_engine.drivers.format.qcow2.check import check_image

        async with self.image.lock:
            return await check_image(self.image, repair)

    async def _repair_dirty(self) -> None:
        result = await self.check(Repair.LEAKS | Repair.ERRORS)
        if result.check_errors:
            raise BlockError("Could not repair dirty image", errno.EIO)

    # Life.

    async def prepare_reopen(self, options: Options, discard: str) -> Callable[[], None]:
        image = self.image
        chosen = take_options(options, image.header, discards=discard == "unmap")
        if image.options.lazy_refcounts and not chosen.lazy_refcounts:
            async with image.lock:
                await image.mark_clean()

        def put_in_force() -> None:
            image.options = chosen
            image.l2.set_limit(chosen.l2_cache_size)
            image.refcounts.cache.set_limit(chosen.refcount_cache_size)

        return put_in_force

    async def become_read_only(self) -> None:
        async with self.image.lock:
            await store_bitmaps(self.image)
            await self.image.mark_clean()
            freeze_bitmaps(self.image)

    async def stay_writable(self) -> None:
        async with self.image.lock:
            await thaw_bitmaps(self.image)

    async def inactivate(self) -> None:
        async with self.image.lock:
            failure = await inactivate_image(self.image)
        if failure is not None:
            raise failure
        self._is_open = False

    async def close(self) -> None:
        if self._is_open and not self.image.is_lost:
            async with self.image.lock:
                await inactivate_image(self.image)
