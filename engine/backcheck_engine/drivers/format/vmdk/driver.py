"""The vmdk driver: one image behind one node, each request handed to the part that knows how."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, Limits
from backcheck_engine.block.image_upkeep import CheckResult, Repair
from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.drivers.format.vmdk import reading
from backcheck_engine.drivers.format.vmdk.check import check_image
from backcheck_engine.drivers.format.vmdk.opening import open_image
from backcheck_engine.drivers.format.vmdk.writing import Writer

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener
    from backcheck_engine.drivers.format.vmdk.extent import Extent
    from backcheck_engine.drivers.format.vmdk.image import Image
    from backcheck_engine.json_value import JsonObject


class VmdkDriver(Driver):
    """vmdk in all the kinds that QEMU makes; those with separate files have children `extents.0`, `extents.1`, …"""

    format_name: ClassVar[str] = "vmdk"
    kind: ClassVar[DriverKind] = DriverKind.FORMAT
    supports_backing: ClassVar[bool] = True
    supports_compressed_writes: ClassVar[bool] = True
    mutable_options = ()
    named_by_image = "extents."

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.image: Image
        self._writer: Writer

    @classmethod
    async def open(cls, opener: Opener) -> VmdkDriver:
        driver = cls(opener.node)
        driver.image = await open_image(opener)
        driver._writer = Writer(driver.image)
        return driver

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        return await reading.read(self.image, offset, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._writer.write(offset, data)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._writer.write_zeroes(offset, length)

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Store `data` as the image stores everything: streamOptimized compressed, the others not."""
        await self._writer.write(offset, data)

    async def pwrite_compressed_together(self, offset: int, data: Buffer) -> int:
        return await self._writer.write_together(offset, data)

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        return await reading.block_status(self.image, offset, length)

    # Facts.

    def size(self) -> int:
        return self.image.size

    def allocated_size(self) -> int | None:
        sizes = [child.node.allocated_size() for name, child in self.node.children.items() if name != "backing"]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def info(self) -> DriverInfo | None:
        """None where the extents differ, so that there is no one answer."""
        first, *others = {(extent.grain_size, extent.is_packed) for extent in self.image.extents} or {(0, False)}
        if others:
            return None
        cluster_size, is_packed = first
        return DriverInfo(cluster_size=cluster_size, needs_compressed_writes=is_packed)

    def specific_info(self) -> JsonObject:
        image = self.image
        return {
            "type": "vmdk",
            "data": {
                "create-type": image.create_type,
                "cid": image.cid,
                "parent-cid": image.parent_cid,
                "extents": [_extent_info(extent) for extent in image.extents],
            },
        }

    def has_zero_init(self) -> bool:
        flat = (extent for extent in self.image.extents if not extent.grain_size)
        return all(extent.file.driver.has_zero_init() for extent in flat)

    def refresh_limits(self, limits: Limits) -> None:
        grains = (extent.grain_size for extent in self.image.extents)
        limits.pwrite_zeroes_alignment = max(grains, default=0)

    # For tools.

    async def check(self, repair: Repair) -> CheckResult:
        return await check_image(self.image, repair)


def _extent_info(extent: Extent) -> JsonObject:
    """VmdkExtentInfo of QAPI."""
    info: JsonObject = {
        "filename": extent.file.filename,
        "format": extent.kind,
        "virtual-size": extent.size,
    }
    if extent.is_packed:
        info["compressed"] = True
    if extent.grain_size:
        info["cluster-size"] = extent.grain_size
    return info
