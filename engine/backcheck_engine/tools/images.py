"""Images as the tools open them: named by file or by options, each behind a backend of its own, closed at the end.

Errors say which image: `Could not open 'x': …`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import EngineError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.tools.image_options import CacheMode, parse_options
from backcheck_engine.tools.program import ToolError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """An image and how to open it."""

    text: str
    """A filename, or an option list."""
    is_options: bool = False
    format: str | None = None
    """The format's driver; None to probe."""
    extra_options: JsonObject = field(default_factory=dict)
    """More options of the node, flat."""
    cache: CacheMode = field(default_factory=CacheMode)
    writable: bool = False
    resizable: bool = False
    force_share: bool = False
    no_backing: bool = False
    no_io: bool = False
    """Only metadata will be asked for."""
    check: bool = False
    """Opened for a check, which a corrupt image must not prevent."""
    discard: bool = False
    """Whether what is discarded is deallocated."""

    def node_options(self) -> JsonObject:
        """The options, flat, as the block layer opens it."""
        options: JsonObject = parse_options(self.text, "file") if self.is_options else {}
        options.update(self.extra_options)
        if self.format is not None:
            options["driver"] = self.format
        options.update(self.cache.as_options())
        options.setdefault("read-only", "off" if self.writable else "on")
        if self.force_share:
            options["force-share"] = "on"
        if self.discard:
            options.setdefault("discard", "unmap")
        return options

    @property
    def permissions(self) -> Permission:
        """What a backend for it needs."""
        needed = Permission.NONE if self.no_io else Permission.CONSISTENT_READ
        if self.writable:
            needed |= Permission.WRITE
        if self.resizable:
            needed |= Permission.RESIZE
        return needed


def could_not_open(name: str, error: EngineError, *, status: int = 1) -> ToolError:
    """The error of a tool that needs an image it cannot have."""
    return ToolError(f"Could not open '{name}': {error}", status=status, hint=error.hint)


class Images:
    """A graph and the images that a tool has opened in it."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._backends: list[BlockBackend] = []

    async def open(self, name: ImageName, *, status: int = 1) -> BlockBackend:
        """A backend on the image. Raises ToolError, which ends the tool with `status`."""
        try:
            return await self.open_bare(name)
        except EngineError as error:
            raise could_not_open(name.text, error, status=status) from error

    async def open_bare(self, name: ImageName) -> BlockBackend:
        """A backend on the image. Raises EngineError in the block layer's words."""
        node = await self.open_node(name)
        backend = BlockBackend(self.graph, permissions=name.permissions)
        try:
            backend.insert(node)
        finally:
            await node.unref()
        backend.write_cache = not name.cache.writethrough
        self._backends.append(backend)
        return backend

    async def open_node(self, name: ImageName) -> "Node":
        """A node for the image, with one reference for the caller. Raises EngineError."""
        return await open_node(
            self.graph,
            name.node_options(),
            filename=None if name.is_options else name.text,
            no_backing=name.no_backing,
            no_io=name.no_io,
            check=name.check,
        )

    async def close(self, backend: BlockBackend) -> None:
        """Close one image before the tool ends."""
        self._backends.remove(backend)
        await backend.close()

    async def close_all(self) -> None:
        """Close every image, the newest first."""
        while self._backends:
            await self._backends.pop().close()


@asynccontextmanager
async def opened_images() -> AsyncIterator[Images]:
    """A graph whose images are closed at the end, in whatever way it comes."""
    images = Images()
    try:
        yield images
    finally:
        await images.close_all()
