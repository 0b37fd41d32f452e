"""What backcheck-nbd does while it runs: opens the image, exports it, serves until it is told to end or is left."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import EngineError
from backcheck_engine.nbd.export import BitmapReference, ExportSettings
from backcheck_engine.nbd.export_list import ExportList
from backcheck_engine.nbd.server import Server
from backcheck_engine.tools.images import Images, opened_images
from backcheck_engine.tools.nbd_settings import ServeSettings
from backcheck_engine.tools.overlay import temporary_overlay
from backcheck_engine.tools.program import ToolError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_IDENTITY: Final = "export"
_HANDSHAKE_MAX_S: Final = 10


async def serve(settings: ServeSettings, listeners: list[socket.socket], ready: Callable[[], None]) -> int:
    """Serve until a signal comes, or the last client has gone and nobody asked to go on. Raises EngineError."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, over.set)
    exports = ExportList(lambda _: None)

    def client_gone(has_chosen: bool) -> None:
        if has_chosen and not settings.persistent and not exports.has_clients:
            over.set()

    async with opened_images() as images, _opened(images, settings) as node:
        exports.server = Server(
            exports,
            listeners,
            max_connections=settings.shared,
            handshake_max_s=_HANDSHAKE_MAX_S if release.current() >= release.QEMU_10_0 else 0,
            client_gone=client_gone,
        )
        try:
            await exports.add(_export_settings(settings), node)
            if settings.pid_file is not None:
                _write_pid_file(settings.pid_file)
            ready()
            await over.wait()
        finally:
            await exports.stop_server()
            if settings.pid_file is not None:
                with contextlib.suppress(OSError):
                    os.unlink(settings.pid_file)
    return 0


def _export_settings(settings: ServeSettings) -> ExportSettings:
    return ExportSettings(
        identity=_IDENTITY,
        name=settings.export_name,
        description=settings.description,
        writable=settings.writable,
        writethrough=settings.image.cache.writethrough,
        bitmaps=[BitmapReference(name) for name in settings.bitmaps],
        allocation_depth=settings.allocation_depth,
    )


@contextlib.asynccontextmanager
async def _opened(images: Images, settings: ServeSettings) -> AsyncIterator["Node"]:
    """The node that is exported, open in this section. Raises EngineError."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            name = settings.image
            if settings.snapshot:
                name = await stack.enter_async_context(temporary_overlay(images, name))
            node = await images.open_node(name)
            stack.push_async_callback(node.unref)
            if settings.offset:
                node = await _without_beginning(images, node, settings)
                stack.push_async_callback(node.unref)
            stack_of_nodes = stack.pop_all()
    except EngineError as error:
        if isinstance(error, ToolError):
            raise
        raise ToolError(f"Failed to blk_new_open '{settings.image.text}': {error}", hint=error.hint) from error
    async with stack_of_nodes:
        yield node


async def _without_beginning(images: Images, node: "Node", settings: ServeSettings) -> "Node":
    """A node that shows what follows the first `settings.offset` bytes of `node`."""
    if settings.offset >= node.size:
        raise ToolError(f"Offset ({settings.offset}) cannot be greater than size of the containing file ({node.size})")
    tree = {"driver": "raw", "offset": str(settings.offset), "file": node.node_name}
    return await open_node(images.graph, {**tree, "read-only": "off" if settings.writable else "on"})


def _write_pid_file(path: str) -> None:
    """Write this process's id, and hold a lock on the file while the process lives. Raises ToolError."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ToolError(f"Could not create '{path}': {error.strerror}") from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ToolError("Cannot lock pid file: Resource temporarily unavailable") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
