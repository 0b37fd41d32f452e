"""A node on the export at "sock", and the numbers of its requests."""

from collections.abc import Awaitable, Callable

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from tests.block.loop import run

READ, WRITE, FLUSH, TRIM, ZERO, STATUS = 0, 1, 3, 4, 6, 7


def on_export(work: Callable[[Node], Awaitable[object]], **options: str) -> None:
    """Do `work` on a node on the export at "sock"."""

    async def do() -> None:
        tree = {"driver": "nbd", "server.type": "unix", "server.path": "sock", "discard": "unmap", **options}
        node = await open_node(Graph(), dict(tree))
        try:
            await work(node)
        finally:
            await node.unref()

    run(do())
