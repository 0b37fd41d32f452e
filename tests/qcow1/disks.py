"""qcow images of version 1 opened by the engine, beside the installed qemu-img that says what is in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.drivers.creation import create_image
from backcheck_engine.json_value import JsonObject
from tests.qcow2.qemu import qemu_img, run


@asynccontextmanager
async def opened(path: Path, *, driver: str | None = "qcow", **options: str | bool) -> AsyncIterator[Node]:
    """An image opened by the engine for a user who reads and writes; a driver of None is guessed."""
    graph = Graph()
    tree: JsonObject = {} if driver is None else {"driver": driver}
    tree.update(options)
    node = await open_node(graph, tree, filename=str(path))
    needed = Permission.CONSISTENT_READ | (Permission.NONE if node.read_only else Permission.WRITE)
    user = BlockBackend(graph, permissions=needed)
    try:
        user.insert(node)
        yield node
    finally:
        await user.close()
        await node.unref()


def make(path: Path, size: int | None, format_name: str = "qcow", **options: str) -> None:
    """An image made by the engine."""
    run(lambda: create_image(Graph(), str(path), format_name, size=size, options=options, quiet=True))


def content(path: Path) -> bytes:
    """What the engine reads from the whole image."""

    async def read() -> bytes:
        async with opened(path, **{"read-only": "on"}) as node:
            return bytes(await node.pread(0, node.size))

    return run(read)


def qemu_sees(path: Path, expected: bytes, folder: Path) -> None:
    """The image holds that content, says qemu-img."""
    raw = folder / "expected.raw"
    raw.write_bytes(expected)
    qemu_img("compare", "-f", "raw", "-F", "qcow", raw, path)
