"""Commands about iothreads: `query-iothreads`, and `x-blockdev-set-iothread`, which moves nodes between them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.iothread import move
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.registry import NoArguments, command
from backcheck_engine.monitor.user_objects import IO_THREAD
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context

_SHOWN: Final = ("poll-max-ns", "poll-grow", "poll-shrink", "poll-weight", "aio-max-batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetIoThread:
    """Arguments of `x-blockdev-set-iothread`; None is the main loop."""

    node_name: str
    iothread: str | None
    force: bool = False


@command("query-iothreads", NoArguments)
async def query_iothreads(context: Context, arguments: NoArguments) -> JsonValue:
    """All iothreads; the thread that does their work is the event loop's."""
    return [_io_thread_info(found.name, found.properties) for found in context.objects if found.type_name == IO_THREAD]


def _io_thread_info(name: str, properties: JsonObject) -> JsonObject:
    shown: JsonObject = {key: properties[key] for key in _SHOWN if key in properties}
    return {"id": name, "thread-id": threading.get_native_id(), **shown}


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
    if arguments.iothread is not None and context.objects.find(arguments.iothread, IO_THREAD) is None:
        raise BlockError(f"Cannot find iothread {arguments.iothread}")
    async with node.drained():
        move(node, arguments.iothread)
    return {}
