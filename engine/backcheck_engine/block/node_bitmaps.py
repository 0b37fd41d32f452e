"""The dirty bitmaps of one node: names, successors, and what writes and resizes of the node do to them.

While an operation uses a bitmap, the bitmap is busy and stands still: an anonymous successor records in its place, and
in the end either takes over from it (`succeed`) or is merged into it (`reclaim`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node

MAX_NAME_BYTES: Final = 1023
_MIN_DEFAULT_GRANULARITY: Final = 4096
_MAX_DEFAULT_GRANULARITY: Final = 65536


class NodeBitmaps:
    """The bitmaps of `node`, newest first, as queries list them."""

    __slots__ = ("_node", "attached")

    def __init__(self, node: Node) -> None:
        self._node: Final = node
        self.attached: Final[list[DirtyBitmap]] = []
        """What iterating gives; for those who only want to know, quickly, whether there is any."""

    def __iter__(self) -> Iterator[DirtyBitmap]:
        return iter(self.attached)

    def __len__(self) -> int:
        return len(self.attached)

    def find(self, name: str) -> DirtyBitmap | None:
        """The bitmap that clients call `name`."""
        return next((bitmap for bitmap in self.attached if bitmap.name == name), None)

    def create(self, granularity: int | None = None, *, name: str | None = None, recording: bool = True) -> DirtyBitmap:
        """A new bitmap with nothing marked, attached. Raises BlockError, in QEMU's words where `name` is at fault."""
        if granularity is None:
            granularity = self.default_granularity()
        if name is not None:
            if self.find(name) is not None:
                raise BlockError(f"Bitmap already exists: {name}", errno.EEXIST)
            if len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
                raise BlockError(f"Bitmap name too long: {name}", errno.EINVAL)
        bitmap = DirtyBitmap(self._node.size, granularity, name=name, recording=recording)
        self.add(bitmap)
        return bitmap

    def add(self, bitmap: DirtyBitmap) -> None:
        """Attach a bitmap that exists."""
        self.attached.insert(0, bitmap)

    def remove(self, bitmap: DirtyBitmap) -> None:
        """Detach a bitmap. It and its bits stay as they are, so that `add` can put it back."""
        self.attached.remove(bitmap)

    def default_granularity(self) -> int:
        """The granularity of a bitmap that is created without one: the image's cluster, within bounds."""
        try:
            info = self._node.driver.info()
        except BlockError:
            info = None
        if info is None or not info.cluster_size:
            return _MAX_DEFAULT_GRANULARITY
        return min(max(info.cluster_size, _MIN_DEFAULT_GRANULARITY), _MAX_DEFAULT_GRANULARITY)

    # Use by an operation.

    def freeze(self, bitmap: DirtyBitmap) -> DirtyBitmap:
        """Make `bitmap` busy: until `succeed` or `reclaim`, the successor that is returned records for it."""
        assert not bitmap.busy
        successor = self.create(bitmap.granularity, recording=bitmap.recording)
        bitmap.recording = False
        bitmap.successor = successor
        bitmap.busy = True
        return successor

    def succeed(self, bitmap: DirtyBitmap) -> DirtyBitmap:
        """Put the successor, which is returned, in the place of `bitmap`, which goes away."""
        successor = bitmap.successor
        assert successor is not None
        successor.name, successor.persistent = bitmap.name, bitmap.persistent
        bitmap.name, bitmap.persistent = None, False
        bitmap.successor = None
        bitmap.busy = False
        self.remove(bitmap)
        return successor

    def reclaim(self, bitmap: DirtyBitmap) -> None:
        """Let `bitmap` go on, with what its successor, which goes away, has recorded."""
        successor = bitmap.successor
        assert successor is not None
        bitmap.merge_from(successor)
        bitmap.recording = successor.recording
        bitmap.successor = None
        bitmap.busy = False
        self.remove(successor)

    # What the node does.

    def mark_written(self, offset: int, length: int) -> None:
        """Mark what a write, a zeroing or a discard has touched."""
        for bitmap in self.attached:
            if bitmap.recording:
                bitmap.set(offset, length)

    def resize(self, size: int) -> None:
        """Follow the node's size, in bytes."""
        for bitmap in self.attached:
            bitmap.resize(size)


def check_usable(bitmap: DirtyBitmap, *, allow_read_only: bool = False, allow_inconsistent: bool = False) -> None:
    """Raise BlockError, in QEMU's words, when `bitmap` is in a state that is not allowed."""
    if bitmap.busy:
        raise BlockError(
            f"Bitmap '{bitmap.name}' is currently in use by another operation and cannot be used", errno.EBUSY
        )
    if bitmap.read_only and not allow_read_only:
        raise BlockError(f"Bitmap '{bitmap.name}' is readonly and cannot be modified", errno.EPERM)
    if bitmap.inconsistent and not allow_inconsistent:
        raise BlockError(
            f"Bitmap '{bitmap.name}' is inconsistent and cannot be used",
            errno.EINVAL,
            hint="Try block-dirty-bitmap-remove to delete this bitmap from disk",
        )


def find_bitmap(graph: Graph, node_ref: str, name: str) -> tuple[Node, DirtyBitmap]:
    """The node that a client calls `node_ref`, by device or node-name, and its bitmap `name`. Raises BlockError."""
    node = find_bitmap_node(graph, node_ref)
    bitmap = node.bitmaps.find(name)
    if bitmap is None:
        raise BlockError(f"Dirty bitmap '{name}' not found")
    return node, bitmap


def find_bitmap_node(graph: Graph, node_ref: str) -> Node:
    """The node whose bitmaps a client means by a device or a node-name. Raises BlockError."""
    try:
        return graph.find_device_or_node(node_ref)
    except BlockError as error:
        raise BlockError(f"Node '{node_ref}' not found") from error
