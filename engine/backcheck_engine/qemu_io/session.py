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
        """Read."""
        return await self.medium.pread(offset, length)

    def start(self, request: Coroutine[None, None, None]) -> None:
        """Let `request` run, up to its first wait before this returns."""
        from backcheck_engine.block.eager import start_eagerly

        task = start_eagerly(request)
        if task is not None:
            _running.add(task)
            task.add_done_callback(_running.discard)
