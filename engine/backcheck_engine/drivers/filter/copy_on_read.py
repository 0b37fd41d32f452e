"""The filter `copy-on-read`: what is read through it from below its child is stored in the child."""

from __future__ import annotations

import errno
from itertools import pairwise
from typing import TYPE_CHECKING

from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener

_PASSED_ON = Permission.CONSISTENT_READ | Permission.WRITE | Permission.RESIZE


class CopyOnReadDriver(Driver):
    """Passes everything to its child `file`; with `bottom`, what lies below that node is read and not stored."""

    format_name = "copy-on-read"
    kind = DriverKind.FILTER
    supports_discard = True
    supports_fua = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK | RequestFlag.FUA
    supports_compressed_writes = True

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._bottom: Node | None = None
        self._frozen: list[Child] = []
        """The links from here down to the bottom, which nobody may change meanwhile."""

    @classmethod
    async def open(cls, opener: Opener) -> CopyOnReadDriver:
        driver = cls(opener.node)
        await opener.file()
        bottom = opener.options.take_str("bottom")
        if bottom is not None:
            driver._freeze_down_to(bottom)
        return driver

    def _freeze_down_to(self, name: str) -> None:
        """Remember the node `name` as the bottom. Raises BlockError unless it is a node of the chain."""
        bottom = self.node.graph.nodes.get(name)
        if bottom is None:
            raise BlockError(f"Bottom node '{name}' not found", errno.EINVAL)
        if bottom.is_filter:
            raise BlockError(f"Bottom node '{name}' is a filter", errno.EINVAL)
        chain = self.node.backing_chain()
        if bottom not in chain:
            # QEMU does not come back from such a command.
            raise BlockError(f"Bottom node '{name}' is not in the chain below '{self.node.node_name}'", errno.EINVAL)
        self._bottom = bottom
        for upper, lower in pairwise(chain[: chain.index(bottom) + 1]):
            link = next(child for child in upper.children.values() if child.node is lower)
            link.frozen += 1
            self._frozen.append(link)

    async def close(self) -> None:
        for link in self._frozen:
            link.frozen -= 1
        self._frozen.clear()

    @property
    def _file(self) -> Node:
        return self.node.file

    async def pread(self, offset: int, length: int) -> Buffer:
        if self._bottom is None:
            return await self._file.pread_storing(offset, length)
        pieces: list[Buffer] = []
        end = offset + length
        while offset < end:
            stores, count = await self._stores(offset, end - offset)
            if not count:
                pieces.append(await self._file.pread(offset, end - offset))
                break
            read = self._file.pread_storing if stores else self._file.pread
            pieces.append(await read(offset, count))
            offset += count
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _stores(self, offset: int, length: int) -> tuple[bool, int]:
        """(whether what is there comes from between the child and the bottom, for how many bytes)."""
        is_held, count = await self._file.is_allocated(offset, length)
        lower = self._file.skip_filters().overlaid
        if is_held or lower is None or self._bottom is self._file.skip_filters():
            return False, count
        return await lower.is_allocated_above(self._bottom, True, offset, count)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._file.pwrite(offset, data, flags)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._file.pwrite_zeroes(offset, length, flags)

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        await self._file.pwrite_compressed(offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await self._file.discard(offset, length)

    # Facts and permissions.

    def size(self) -> int:
        return self._file.size

    def info(self) -> DriverInfo | None:
        return self._file.driver.info()

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        needed = (parent_permissions & _PASSED_ON) | Permission.WRITE_UNCHANGED
        return needed, (parent_shared & _PASSED_ON) | Permission.WRITE_UNCHANGED
