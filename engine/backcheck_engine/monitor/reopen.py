"""The commands `blockdev-reopen` and, in 5.2, `x-blockdev-reopen`: open nodes get other options or other children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backcheck_engine.block.options import flatten
from backcheck_engine.block.reopen_queue import ReopenQueue
from backcheck_engine.block.reopening import reopen
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.registry import tree_command
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@tree_command("blockdev-reopen")
async def blockdev_reopen(context: Context, arguments: JsonObject) -> JsonValue:
    """Reopen several nodes, all of them or none."""
    trees = arguments["options"]
    assert isinstance(trees, Sequence)
    await _reopen(context, [dict(tree) for tree in trees if isinstance(tree, Mapping)])
    return {}


@tree_command("x-blockdev-reopen")
async def x_blockdev_reopen(context: Context, arguments: JsonObject) -> JsonValue:
    """Reopen one node."""
    await _reopen(context, [arguments])
    return {}


async def _reopen(context: Context, trees: Sequence[JsonObject]) -> None:
    """Raises EngineError; nothing has changed then."""
    old = context.release < QEMU_7_2
    queue = ReopenQueue()
    for tree in trees:
        name = tree.get("node-name")
        if not isinstance(name, str):
            raise BlockError("Node name not specified" if old else "node-name not specified")
        node = context.graph.nodes.get(name)
        if node is None:
            raise BlockError(
                f"Cannot find node named '{name}'" if old else f"Failed to find node with node-name='{name}'"
            )
        queue.add(node, flatten(tree))
    await reopen(queue.entries)
