"""What a command runs in: the backend, the channels its output goes to, and the requests that it left running."""

import asyncio
import enum
import errno
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.request import Buffer

Writer = Callable[[str], None]


class Channel(enum.Enum):
    """Where a line goes."""

    OUTPUT = enum.auto()
    """The program's stdout."""
    ERROR = enum.auto()
    """The program's stderr, as it is."""
    REPORT = enum.auto()
    """An error that the program reports under its name, or that the monitor shows its client."""


class CommandFailed(Exception):
    """A command has failed; `text`, unless it is empty, says why on `channel`."""

    def __init__(self, text: str = "", channel: Channel = Channel.OUTPUT) -> None:
        super().__init__(text)
        self.text = text
        self.channel = channel


_running: set["asyncio.Task[None]"] = set()
"""Requests that aio_* commands started: an event loop alone would not keep them alive."""


class Session:
    """A backend and where to print. `backend` is None while a program has no file open."""

    def __init__(self, backend: "BlockBackend | None", channels: dict[Channel, Writer]) -> None:
        self.backend = backend
        self.in_monitor = False
        """Whether the session has only the commands that HMP offers."""
        self.copy_on_read = False
        """Whether reads store what they found below the overlay."""
        self._channels = channels

    def say(self, text: str, channel: Channel = Channel.OUTPUT) -> None:
        """Print lines; a newline is added at the end."""
        self._channels[channel](f"{text}\n")

    @property
    def medium(self) -> "BlockBackend":
        """The backend. Only for commands that need an open file, which the dispatcher has checked."""
        assert self.backend is not None
        return self.backend

    @property
    def node(self) -> "Node":
        """The backend's node. Raises BlockError (ENOMEDIUM, in libc's words) without a medium."""
        node = self.medium.node
        if node is None:
            raise BlockError.from_errno(errno.ENOMEDIUM)
        return node

    async def pread(self, offset: int, length: int) -> "Buffer":
        """Read, storing in the overlay what came from below it where the session copies on read."""
        if self.copy_on_read:
            await self._populate(offset, length)
        return await self.medium.pread(offset, length)

    async def _populate(self, offset: int, length: int) -> None:
        from backcheck_engine.block.request import RequestFlag

        node, end = self.node, min(offset + length, self.node.size)
        while offset < end:
            allocated, count = await node.is_allocated(offset, min(end - offset, 2**20))
            if not count:
                return
            if not allocated:
                data = await node.pread(offset, count)
                await node.pwrite(offset, data, RequestFlag.WRITE_UNCHANGED)
            offset += count

    def start(self, request: Coroutine[None, None, None]) -> None:
        """Let `request` run, up to its first wait before this returns."""
        from backcheck_engine.block.eager import start_eagerly

        task = start_eagerly(request)
        if task is not None:
            _running.add(task)
            task.add_done_callback(_running.discard)
