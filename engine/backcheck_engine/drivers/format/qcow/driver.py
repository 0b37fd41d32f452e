"""The qcow driver: one image of version 1 behind one node."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, ClassVar

from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind, Limits
from backcheck_engine.block.request import (
    MAX_IMAGE_BYTES,
    MAX_REQUEST_BYTES,
    SECTOR_SIZE,
    BlockStatus,
    Buffer,
    RequestFlag,
)
from backcheck_engine.drivers.format.qcow import data as guest_data
from backcheck_engine.drivers.format.qcow.header import ENTRY_BYTES, LENGTH, Header, parse_header
from backcheck_engine.drivers.format.qcow.image import ClusterKind, Image
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener


class QcowDriver(Driver):
    """qcow, version 1. It can be read, written and compressed into; not resized, checked or given another backing."""

    format_name: ClassVar[str] = "qcow"
    kind: ClassVar[DriverKind] = DriverKind.FORMAT
    supports_backing: ClassVar[bool] = True
    supports_compressed_writes: ClassVar[bool] = True
    compresses_single_clusters: ClassVar[bool] = True
    mutable_options: ClassVar[tuple[str, ...] | None] = ()

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.image: Image

    @classmethod
    async def open(cls, opener: Opener) -> QcowDriver:
        driver = cls(opener.node)
        file = await opener.file()
        header = parse_header(bytes(await file.pread(0, LENGTH)))
        header.verify()
        _check_l1_table(file, header)
        if header.backing_offset:
            opener.set_backing(await _read_backing_name(file, header), "")
        driver.image = Image(opener.node, header)
        return driver

    # Requests.

    async def pread(self, offset: int, length: int) -> Buffer:
        return await guest_data.read(self.image, offset, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await guest_data.write(self.image, offset, data)

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        await guest_data.write_compressed(self.image, offset, data)

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        async with self.image.lock:
            extent = await self.image.lookup(offset, length)
        is_normal = extent.kind is ClusterKind.NORMAL
        return BlockStatus(
            length=extent.length,
            data=extent.kind is not ClusterKind.UNALLOCATED,
            compressed=extent.kind is ClusterKind.COMPRESSED,
            host_offset=extent.host if is_normal else None,
            file=self.image.file if is_normal else None,
        )

    # Facts.

    def size(self) -> int:
        return self.image.header.size // SECTOR_SIZE * SECTOR_SIZE

    def info(self) -> DriverInfo:
        return DriverInfo(cluster_size=self.image.cluster_size)

    def has_zero_init(self) -> bool:
        return True

    def refresh_limits(self, limits: Limits) -> None:
        limits.request_alignment = SECTOR_SIZE

    # For tools.

    async def make_empty(self) -> None:
        await self.image.make_empty()


def _check_l1_table(file: Node, header: Header) -> None:
    """Refuse a table that no file can hold, or that QEMU cannot read in one request."""
    length = header.l1_entries * ENTRY_BYTES
    if length > MAX_REQUEST_BYTES or header.l1_offset + length > MAX_IMAGE_BYTES:
        raise _not_opened(file)


async def _read_backing_name(file: Node, header: Header) -> str:
    """The backing file's name, which the format keeps without its format."""
    try:
        name = bytes(await file.pread(header.backing_offset, header.backing_length))
    except BlockError as error:
        raise _not_opened(file) from error
    return name.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _not_opened(file: Node) -> BlockError:
    return BlockError(f"Could not open '{file.filename}': {os.strerror(errno.EIO)}", errno.EIO)
