"""An open image: its extents, its descriptor, and its content id, which tells overlays that they are out of date."""

from __future__ import annotations

import asyncio
import errno
import os
from bisect import bisect_right
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.vmdk import descriptor
from backcheck_engine.drivers.format.vmdk.descriptor import NO_PARENT
from backcheck_engine.drivers.format.vmdk.header import DESCRIPTOR_AREA
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.format.vmdk.extent import Extent


def new_content_id() -> int:
    """A content id that no other image is likely to have."""
    return int.from_bytes(os.urandom(4), "little") % NO_PARENT


async def read_descriptor(file: Node, offset: int) -> str:
    """The descriptor that begins at `offset`. Raises BlockError."""
    longest = DESCRIPTOR_AREA if offset else descriptor.MAX_LENGTH
    return descriptor.as_text(bytes(await file.pread(offset, min(longest, max(file.size - offset, 0)))))


class Image:
    """One image behind one node."""

    def __init__(self, node: Node, *, create_type: str, descriptor_offset: int) -> None:
        self.node = node
        self.create_type = create_type
        self.extents: list[Extent] = []
        self.cid = 0
        self.parent_cid = NO_PARENT
        self.lock = asyncio.Lock()
        """Held while anything is allocated."""
        self._descriptor_offset = descriptor_offset
        self._ends: list[int] = []
        self._cid_is_new = False
        self._parent_is_right = False

    def add(self, extent: Extent) -> None:
        """Append a part of the disk."""
        self.extents.append(extent)
        self._ends.append(extent.end)

    @property
    def size(self) -> int:
        """The disk's size."""
        return self._ends[-1] if self._ends else 0

    def extent_at(self, offset: int) -> Extent:
        """The extent that has the disk's `offset`. Raises EIO beyond the end."""
        index = bisect_right(self._ends, offset)
        if index == len(self._ends):
            raise BlockError.from_errno(errno.EIO)
        return self.extents[index]

    async def read_text(self) -> str:
        """The descriptor as it is in the file. Raises BlockError."""
        return await read_descriptor(self.node.file, self._descriptor_offset)

    async def renew_cid(self) -> None:
        """Get a new content id, once; call it after the first write. Raises BlockError."""
        if self._cid_is_new:
            return
        async with self.lock:
            if self._cid_is_new:
                return
            cid = new_content_id()
            text = descriptor.as_bytes(descriptor.with_content_id(await self.read_text(), cid))
            if self._descriptor_offset and len(text) > DESCRIPTOR_AREA:
                raise BlockError.from_errno(errno.EFBIG)
            await self.node.file.pwrite(self._descriptor_offset, text)
            self.cid, self._cid_is_new = cid, True

    async def check_parent(self) -> None:
        """Refuse to read from a backing that has changed since it became one, or that is no vmdk (EINVAL).

        An image that names no parent takes what it is given: a job may put any image below it.
        """
        backing = self.node.overlaid
        if self._parent_is_right or backing is None or self.parent_cid == NO_PARENT:
            return
        below = await content_id(backing)
        if below != self.parent_cid:
            raise BlockError.from_errno(errno.EINVAL)
        self._parent_is_right = True


async def content_id(node: Node) -> int | None:
    """The content id of the vmdk that `node` shows at this time, or None where it is no vmdk."""
    image = getattr(node.skip_filters().driver, "image", None)
    if not isinstance(image, Image):
        return None
    ids = descriptor.content_ids(await image.read_text())
    return None if ids is None else ids[0]
