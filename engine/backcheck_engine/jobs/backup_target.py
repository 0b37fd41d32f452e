"""The target of `drive-backup`: which image is made, on which backing, and how it is opened.

An image that was made stays where it is, whatever fails afterwards.

    sync          the new image names as its backing     its node's backing
    full          nothing                                 none
    top           the first image below the source        opened by its name, once more
    none          the source                              the source's own node, also in an image that exists
    incremental   nothing                                 what the image names
    bitmap        nothing                                 what the image names
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.jobs.backup_options import SyncMode

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveTarget:
    """Where `drive-backup` puts its copy."""

    filename: str
    format_name: str | None = None
    """Without one: the source's for a new target, probed for an existing one."""
    exists: bool = False
    """mode=existing: use the image that is there."""


def layer_below(source: Node) -> Node | None:
    """The first image below the source, filters skipped, on which a copy of the source's top layer can stand."""
    return source.skip_filters().overlaid


async def open_target(
    graph: Graph, source: Node, target: DriveTarget, sync: SyncMode, say: Callable[[str], None]
) -> Node:
    """The target's node, after making its image where that is asked for; the caller owns the reference.

    `say` is given the line about the image that is made. Raises EngineError in QEMU's words.
    """
    format_name = target.format_name
    if not target.exists:
        format_name = format_name if format_name is not None else source.format_name
        await _make_image(graph, source, target.filename, format_name, sync, say)
    tree: JsonObject = {
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "auto-read-only": source.auto_read_only,
        "cache.direct": source.cache.direct,
        "cache.no-flush": source.cache.no_flush,
    }
    if format_name is not None:
        tree["driver"] = format_name
    node = await open_node(graph, tree, filename=target.filename, no_backing=sync is SyncMode.NONE)
    if sync is SyncMode.NONE:
        try:
            _put_above(node, source)
        except EngineError:
            await node.unref()
            raise
    return node


async def _make_image(
    graph: Graph, source: Node, filename: str, format_name: str, sync: SyncMode, say: Callable[[str], None]
) -> None:
    from backcheck_engine.drivers.creation import create_image

    backing = {SyncMode.TOP: layer_below(source), SyncMode.NONE: source}.get(sync)
    await create_image(
        graph,
        filename,
        format_name,
        size=source.size,
        backing_file=None if backing is None else backing.filename,
        backing_format=None if backing is None else backing.format_name,
        open_backing=sync is SyncMode.TOP,
        options={},
        out=say,
    )


def _put_above(target: Node, source: Node) -> None:
    """Make the source's node, as it is open, the backing of `target`. Until 6.0 QEMU did so with any driver."""
    if not target.driver.supports_backing and release.current() >= release.QEMU_7_2:
        raise BlockError(
            f"Driver '{target.format_name}' of node '{target.node_name}' does not support backing files", errno.EINVAL
        )
    target.graph.attach(source, "backing", owner=target, role=ChildRole.COW)
