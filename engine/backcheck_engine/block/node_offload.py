"""Copying from node to node by the host's kernel: no buffer holds the data, so that nobody looks at it on its way.

A request goes down from the source to the file that holds the data, and from there down the target to the file that
takes it. Whatever cannot go so fails, some of it perhaps copied, and is for `pread` and `pwrite`.
"""

import errno
from typing import TYPE_CHECKING

from backcheck_engine.block.node_requests import NONE, check_request
from backcheck_engine.block.node_scattered import NodeScattered
from backcheck_engine.block.request import FilePiece, RequestFlag
from backcheck_engine.block.tracking import RequestKind
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


class NodeOffload(NodeScattered):
    """Adds offloaded copies to `NodeScattered`."""

    async def copy_range_from(
        self, offset: int, length: int, target: "Node", target_offset: int, flags: RequestFlag = NONE
    ) -> None:
        """Copy a range to another node; what it does not store goes there as zeroes. Raises BlockError."""
        check_request(target_offset, length)
        check_request(offset, length)
        if not (self.can_offload and target.can_offload):
            raise BlockError.from_errno(errno.ENOTSUP)
        request = self._begin(RequestKind.READ, offset, length)
        try:
            if self.tracker.serialising_count:
                await self.tracker.wait(request)
            await self.driver.copy_range_from(offset, length, target, target_offset, flags)
        finally:
            self._end(request)

    async def copy_range_to(self, offset: int, piece: FilePiece, flags: RequestFlag = NONE) -> None:
        """Take a piece of a file of the host, without a look for zeroes in it. Raises BlockError."""
        check_request(offset, piece.length)
        if not self.can_offload:
            raise BlockError.from_errno(errno.ENOTSUP)
        self._check_writable()
        request = self._begin(RequestKind.WRITE, offset, piece.length)
        try:
            await self._prepare_write(request, flags)
            try:
                await self.driver.copy_range_to(offset, piece, flags)
            finally:
                self._finish_write(offset, piece.length)
        finally:
            self._end(request)

    @property
    def can_offload(self) -> bool:
        """Whether requests of this kind can go through."""
        return self.driver.supports_copy_offload and not self._node.encrypted
