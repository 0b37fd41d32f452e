"""Commands that add, remove, create and resize block nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.blockers import Operation
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError, OptionError
from backcheck_engine.monitor.registry import command, tree_command
from backcheck_engine.release import QEMU_7_2, QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevDel:
    """Arguments of `blockdev-del`."""

    node_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResize:
    """Arguments of `block_resize`."""

    size: int
    device: str | None = None
    node_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevCreate:
    """Arguments of `blockdev-create`."""

    job_id: str
    options: JsonObject


@tree_command("blockdev-add")
async def blockdev_add(context: Context, arguments: JsonObject) -> JsonValue:
    await add_node(context.graph, arguments)
    return {}


async def add_node(graph: Graph, tree: JsonObject) -> Node:
    """Open a node for the monitor, which keeps the reference. Raises EngineError."""
    if "node-name" not in tree:
        raise OptionError("'node-name' must be specified for the root node")
    node = await open_node(graph, tree)
    node.monitor_owned = True
    return node


@command("blockdev-del", BlockdevDel)
async def blockdev_del(context: Context, arguments: BlockdevDel) -> JsonValue:
    name = arguments.node_name
    node = context.graph.nodes.get(name)
    if node is None:
        old = f"Cannot find node {name}"
        raise BlockError(old if context.release < QEMU_7_2 else f"Failed to find node with node-name='{name}'")
    if any(_is_backend(parent, context.release) for parent in node.parents):
        raise BlockError(f"Node {name} is in use")
    node.blockers.check(Operation.DRIVE_DEL, node.device_or_node_name)
    if not node.monitor_owned:
        raise BlockError(f"Node {name} is not owned by the monitor")
    if node.parents:
        raise BlockError(f"Block device {name} is in use")
    node.monitor_owned = False
    await node.unref()
    return {}


def _is_backend(parent: Child, release: Release) -> bool:
    """Whether a use of a node is a backend's; before 6.0 a block job had one of its own, too."""
    is_main_node = parent.name == "main node" and release < QEMU_7_2
    return is_main_node or isinstance(parent.owner, BlockBackend)


@command("blockdev-create", BlockdevCreate)
async def blockdev_create(context: Context, arguments: BlockdevCreate) -> JsonValue:
    from backcheck_engine.drivers import creation
    from backcheck_engine.jobs.create_job import start_create_job

    options = arguments.options
    creation.check_blockdev_create(options)
    start_create_job(context.jobs, arguments.job_id, lambda: creation.blockdev_create(context.graph, options))
    return {}


@command("block_resize", BlockResize)
async def block_resize(context: Context, arguments: BlockResize) -> JsonValue:
    node = context.graph.find(arguments.device, arguments.node_name)
    if arguments.size < 0:
        raise OptionError("Parameter 'size' expects a >0 size")
    if context.release < QEMU_10_0:
        if node.blockers.reason(Operation.RESIZE) is not None:
            raise BlockError(f"Device '{arguments.device or '(null)'}' is in use")
    else:
        node.blockers.check(Operation.RESIZE, node.device_or_node_name)
    backend = BlockBackend(context.graph, permissions=Permission.RESIZE)
    backend.queues_while_drained = False
    backend.insert(node)
    try:
        async with node.drained():
            await backend.truncate(arguments.size, exact=False)
    finally:
        await backend.close()
    return {}
