"""Images on an NBD server or a device: nothing can be made there, but what is there may be large enough."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.driver_table import driver_name_for
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE, RequestFlag
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, OptionKind
from backcheck_engine.errors import BlockError, EngineError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject

OPTIONS: Sequence[CreateOption] = (
    SIZE,
    CreateOption(name="preallocation", kind=OptionKind.STRING, help="Preallocation mode (allowed values: off)"),
)
_NOT_THERE = (
    "Protocol driver '{}' does not support creating new images, so an existing image must be selected as the target; "
    "however, opening the given target as an existing image failed: "
)
_NOT_THERE_OLD = "Protocol driver '{}' does not support image creation, and opening the image failed: "


async def create_from_options(graph: Graph, filename: str, options: CreateOptions) -> None:
    """See that what `filename` names has the size that the options say. Raises BlockError in QEMU's words."""
    preallocation = options.text("preallocation") or "off"
    if preallocation != "off":
        raise BlockError(f"Unsupported preallocation mode '{preallocation}'", errno.ENOTSUP)
    await prepare_place(graph, filename, options.number("size"))


async def prepare_place(graph: Graph, filename: str, size: int) -> None:
    """Refuse an export or a device smaller than `size`, and clear its first sector: no old header is found there."""
    is_old = release.current() < release.QEMU_10_0
    driver = driver_name_for(filename)
    tree: JsonObject = {"driver": driver, "discard": "unmap" if is_old else "ignore"}
    try:
        node = await open_node(graph, tree, filename=filename)
    except EngineError as error:
        words = (_NOT_THERE_OLD if is_old else _NOT_THERE).format(driver) + error.message
        raise BlockError(words, error.errno, hint=error.hint) from error
    writer = BlockBackend(graph, permissions=Permission.WRITE | Permission.RESIZE)
    try:
        writer.insert(node)
        await _claim(node, size)
    finally:
        await writer.close()
        await node.unref()


async def _claim(node: Node, size: int) -> None:
    await node.truncate(size, exact=False)
    try:
        await node.pwrite_zeroes(0, min(node.size, SECTOR_SIZE), RequestFlag.MAY_UNMAP)
    except BlockError as error:
        raise error.prefixed("Failed to clear the new image's first sector: ") from error
