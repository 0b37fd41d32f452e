"""The command `x-blockdev-set-iothread`, for clients that test it: here all nodes live in one loop for ever.

What a client sees is checked all the same, and the node is drained for the move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.registry import command
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class SetIoThread:
    """Arguments of `x-blockdev-set-iothread`; None is the main loop."""

    node_name: str
    iothread: str | None
    force: bool = False


@command("x-blockdev-set-iothread", SetIoThread)
async def x_blockdev_set_iothread(context: Context, arguments: SetIoThread) -> JsonValue:
    """Move a node, and all that is connected with it."""
    name = arguments.node_name
    node = context.graph.nodes.get(name)
    if node is None:
        old = f"Cannot find node {name}"
        raise BlockError(old if context.release < QEMU_7_2 else f"Failed to find node with node-name='{name}'")
    if not arguments.force and any(isinstance(parent.owner, BlockBackend) for parent in node.parents):
        raise BlockError(
            f"Node {name} is associated with a BlockBackend and could be in use (use force=true to override this check)"
        )
    if arguments.iothread is not None and context.objects.find(arguments.iothread, "iothread") is None:
        raise BlockError(f"Cannot find iothread {arguments.iothread}")
    async with node.drained():
        pass
    return {}
