"""The file, or the place on a server or a device, that a format's new image is to lie in: made, opened, taken away."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from backcheck_engine.block.driver_table import driver_name_for
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.creation.export import prepare_place
from backcheck_engine.drivers.creation.file import create_file

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject


async def make_file(graph: Graph, filename: str, size: int, extent_size: int | None = None) -> None:
    """Have a file of that size, or a place on a server or a device that has as much room."""
    if driver_name_for(filename) != "file":
        await prepare_place(graph, filename, size)
    else:
        await create_file(filename.removeprefix("file:"), size, extent_size=extent_size)


async def open_new_file(graph: Graph, filename: str) -> Node:
    """A file that nobody relies on yet, so that nothing needs flushing."""
    driver = driver_name_for(filename)
    if driver != "file":
        return await open_node(graph, {"driver": driver, "cache.no-flush": True}, filename=filename)
    tree: JsonObject = {"driver": "file", "filename": filename.removeprefix("file:"), "cache.no-flush": True}
    return await open_node(graph, tree)


def delete_file_of(node: Node | None) -> None:
    """Take away the file of an image that could not be made, as QEMU does since 6.0; never a device."""
    if node is not None and os.path.isfile(node.exact_filename):
        with contextlib.suppress(OSError):
            os.unlink(node.exact_filename)


async def node_of(graph: Graph, reference: object) -> Node:
    """The node that a BlockdevRef names or describes, with a reference of the caller's own."""
    if isinstance(reference, str):
        return await open_node(graph, reference=reference)
    assert isinstance(reference, dict)
    return await open_node(graph, reference)
