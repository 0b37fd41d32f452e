"""The actions `blockdev-snapshot` and `blockdev-snapshot-sync`: an overlay goes above a node, which becomes read-only.

The overlay is made and put in place while the transaction is prepared, and taken out again when that fails; an image
that was made stays where it is.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.blockers import Operation
from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.reopening import make_read_only
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.jobs.transaction import Action

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.json_value import JsonObject


class SnapshotAction(Action):
    """What both have in common. `device` and `node_name` name the node that becomes the backing."""

    def __init__(self, graph: Graph, device: str | None, node_name: str | None) -> None:
        self._graph: Final = graph
        self._device: Final = device
        self._node_name: Final = node_name
        self._held: Final = AsyncExitStack()
        self._base: Node | None = None
        self._overlay: Node | None = None
        """Once it is in place."""

    async def prepare(self, group: JobGroup) -> None:
        """Find the node, drain it, get the overlay and put it above. Raises EngineError in QEMU's order."""
        base = self._base = self._graph.find(self._device, self._node_name)
        await self._held.enter_async_context(base.drained())
        base.blockers.check(Operation.EXTERNAL_SNAPSHOT, base.device_or_node_name)
        try:
            await base.flush()
        except BlockError as error:
            raise BlockError("An IO error has occurred", error.errno) from error
        overlay = await self._open_overlay(base)
        self._held.push_async_callback(overlay.unref)
        _check_overlay(overlay)
        self._put_above(overlay, base)
        self._overlay = overlay

    @abstractmethod
    async def _open_overlay(self, base: Node) -> Node:
        """The node that goes above `base`, with a reference for the caller. Raises EngineError."""

    def _put_above(self, overlay: Node, base: Node) -> None:
        edge = self._graph.attach(base, "backing", owner=overlay, role=ChildRole.COW)
        try:
            self._graph.replace_node(base, overlay)
        except EngineError:
            self._graph.detach_now(edge)
            base.give_reference_away()
            raise

    async def commit(self) -> None:
        """The backing is not written to any more, unless somebody else still does."""
        assert self._base is not None
        with suppress(BlockError):
            await make_read_only(self._base)

    async def abort(self) -> None:
        """The users of the overlay use its backing again."""
        if self._overlay is not None and self._base is not None:
            self._graph.replace_node(self._overlay, self._base)
            await self._graph.detach(self._overlay.children["backing"])

    async def clean(self) -> None:
        """Let the nodes go on."""
        await self._held.aclose()


def _check_overlay(overlay: Node) -> None:
    """Raise BlockError unless the node can be an overlay of another."""
    needed, _ = overlay.cumulative_permissions()
    if Permission.CONSISTENT_READ in needed:
        raise BlockError("The overlay is already in use")
    if overlay.is_filter:
        raise BlockError("Filters cannot be used as overlays")
    if overlay.backing is not None:
        raise BlockError("The overlay already has a backing image")
    if not overlay.driver.supports_backing:
        raise BlockError("The overlay does not support backing images")


class BlockdevSnapshotAction(SnapshotAction):
    """The overlay is a node that is there."""

    name = "blockdev-snapshot"

    def __init__(self, graph: Graph, node: str, overlay: str) -> None:
        super().__init__(graph, node, node)
        self._overlay_name: Final = overlay

    async def _open_overlay(self, base: Node) -> Node:
        return self._graph.find_device_or_node(self._overlay_name).ref()


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayImage:
    """The image that `blockdev-snapshot-sync` puts above a node."""

    filename: str
    format_name: str = "qcow2"
    node_name: str | None = None
    exists: bool = False
    """mode=existing: use the image that is there."""


class BlockdevSnapshotSyncAction(SnapshotAction):
    """The overlay is an image, which is made first unless it exists."""

    name = "blockdev-snapshot-sync"

    def __init__(
        self,
        graph: Graph,
        device: str | None,
        node_name: str | None,
        image: OverlayImage,
        *,
        write_stdout: Callable[[str], None],
    ) -> None:
        super().__init__(graph, device, node_name)
        self._image: Final = image
        self._write_stdout: Final = write_stdout

    async def _open_overlay(self, base: Node) -> Node:
        image = self._image
        self._check_node_name()
        if not image.exists:
            from backcheck_engine.drivers.creation import create_image

            await create_image(
                self._graph,
                image.filename,
                image.format_name,
                size=base.size,
                backing_file=base.filename,
                backing_format=base.format_name,
                open_backing=False,
                out=self._say,
            )
        tree: JsonObject = {
            "driver": image.format_name,
            "auto-read-only": base.auto_read_only,
            "cache.direct": base.cache.direct,
            "cache.no-flush": base.cache.no_flush,
            "discard": base.discard_mode,
        }
        if image.node_name is not None:
            tree["node-name"] = image.node_name
        return await open_node(
            self._graph, tree, filename=image.filename, read_only=not base.is_writable, no_backing=True
        )

    def _check_node_name(self) -> None:
        what = "node name" if release.current() < release.QEMU_7_2 else "node-name"
        name = self._image.node_name
        if name is None:
            if self._node_name is not None:
                raise BlockError(f"New overlay {what} missing")
        elif name in self._graph.nodes or name in self._graph.backends:
            raise BlockError(f"New overlay {what} already in use")

    def _say(self, line: str) -> None:
        self._write_stdout(f"{line}\n")


class InternalSnapshotAction(Action):
    """A snapshot inside an image, which this engine does not make."""

    name = "blockdev-snapshot-internal-sync"

    def __init__(self, graph: Graph, device: str) -> None:
        self._graph: Final = graph
        self._device: Final = device

    async def prepare(self, group: JobGroup) -> None:
        """Raises BlockError."""
        node = self._graph.find_device_or_node(self._device)
        if any(not isinstance(parent.owner, BlockBackend) for parent in node.parents):
            raise BlockError("Need a root block node")
        node.blockers.check(Operation.INTERNAL_SNAPSHOT, node.device_or_node_name)
        raise BlockError("backcheck-engine does not implement internal snapshots", errno.ENOTSUP)
