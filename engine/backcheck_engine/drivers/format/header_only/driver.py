"""Drivers of the formats of which the engine knows the header: a node can be opened and looked at, not used."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Protocol

from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind
from backcheck_engine.block.driver_table import not_implemented
from backcheck_engine.block.permissions import Permission
from backcheck_engine.drivers.format.header_only import qed, vdi, vhdx, vpc
from backcheck_engine.drivers.format.header_only.header import HeaderFile, ImageOutline

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener
    from backcheck_engine.block.request import Buffer

_DATA = Permission.CONSISTENT_READ | Permission.WRITE | Permission.WRITE_UNCHANGED | Permission.RESIZE


class HeaderFormat(Protocol):
    """The module of a format."""

    async def parse(self, file: HeaderFile, /) -> ImageOutline:
        """What the header says. Raises BlockError."""
        ...


class HeaderOnlyDriver(Driver):
    """What these formats have in common. Reads, writes and whoever needs them are refused."""

    kind: ClassVar[DriverKind] = DriverKind.FORMAT
    header_format: ClassVar[HeaderFormat]

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._outline: ImageOutline

    @classmethod
    async def open(cls, opener: Opener) -> HeaderOnlyDriver:
        driver = cls(opener.node)
        file = await opener.file()

        async def read(offset: int, length: int) -> bytes:
            return bytes(await file.pread(offset, length))

        header = HeaderFile(filename=file.filename, size=file.size, read=read)
        driver._outline = await cls.header_format.parse(header)
        if driver._outline.backing_place is not None:
            name = (await read(*driver._outline.backing_place)).split(b"\0")[0]
            opener.set_backing(name.decode("utf-8", "surrogateescape"), driver._outline.backing_format)
        return driver

    async def pread(self, offset: int, length: int) -> Buffer:
        raise not_implemented(self.format_name, errno.ENOTSUP)

    def prepare_permissions(self, permissions: Permission, shared: Permission) -> None:
        if permissions & _DATA:
            raise not_implemented(self.format_name, errno.ENOTSUP)

    def size(self) -> int:
        return self._outline.size

    def info(self) -> DriverInfo:
        return DriverInfo(cluster_size=self._outline.cluster_size)


class QedDriver(HeaderOnlyDriver):
    """QED."""

    format_name: ClassVar[str] = "qed"
    supports_backing: ClassVar[bool] = True
    header_format: ClassVar[HeaderFormat] = qed


class VdiDriver(HeaderOnlyDriver):
    """VDI."""

    format_name: ClassVar[str] = "vdi"
    header_format: ClassVar[HeaderFormat] = vdi


class VpcDriver(HeaderOnlyDriver):
    """VPC."""

    format_name: ClassVar[str] = "vpc"
    header_format: ClassVar[HeaderFormat] = vpc


class VhdxDriver(HeaderOnlyDriver):
    """VHDX."""

    format_name: ClassVar[str] = "vhdx"
    header_format: ClassVar[HeaderFormat] = vhdx
