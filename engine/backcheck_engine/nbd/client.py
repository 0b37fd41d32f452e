"""A client that keeps its export: requests go to a connection, and to the next one when that is lost.

A request that is lost with its connection is done again on the next one for as long as the server may take to come
back (`reconnect-delay`); without such a time, or after it, it fails with EIO, and the connection is sought in the
background, for requests to come. A server that broke the protocol is not looked for any more.
"""

import asyncio
import enum
import errno
from typing import Final

from backcheck_engine import release
from backcheck_engine.address import Address
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd.client_request import ClientRequest
from backcheck_engine.nbd.connection import Connection, ConnectionLost
from backcheck_engine.nbd.handshake import Export, Wanted
from backcheck_engine.nbd.replies import Answer

MAX_IN_FLIGHT: Final = 16
"""Requests at a time, as in QEMU."""
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 16.0


class _State(enum.Enum):
    """Where the client stands."""

    CONNECTED = enum.auto()
    WAITING = enum.auto()
    """The connection is lost, and requests wait for the next."""
    LOST = enum.auto()
    """The connection is lost, and requests fail until there is another."""
    OVER = enum.auto()
    """There will be no other."""


class NbdClient:
    """One user's way to an export."""

    def __init__(self, address: Address, wanted: Wanted, *, reconnect_delay_s: float = 0) -> None:
        self._address: Final = address
        self._wanted: Final = wanted
        self._reconnect_delay_s: Final = reconnect_delay_s
        self._state = _State.LOST
        self._connection: Connection | None = None
        self._seeker: asyncio.Task[None] | None = None
        self._next: Connection | None = None
        """The connection that was found and that no request has taken yet."""
        self._news = asyncio.Event()
        """Set when those who wait have to look again."""
        self._deadline: asyncio.TimerHandle | None = None
        self._lost_at: float | None = None
        """Since when no request could be done."""
        self._pause_s = 0.0
        """Before the server is looked for again; the first time at once."""
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self.export = Export()
        """What the server agreed to, at last."""

    async def open(self, timeout_s: float = 0) -> None:
        """Connect; with a time, try again and again that long. Raises BlockError."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            left = deadline - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left if timeout_s else None):
                    connection = await Connection.open(self._address, self._wanted)
                break
            except TimeoutError as error:
                raise BlockError("Connection attempt cancelled by other operation", errno.ETIMEDOUT) from error
            except BlockError:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    raise
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._use(connection)

    async def close(self) -> None:
        """End it; what still waits for a connection fails."""
        self._set_state(_State.OVER)
        if self._seeker is not None:
            self._seeker.cancel()
            await asyncio.wait([self._seeker])
        for connection in (self._connection, self._next):
            if connection is not None:
                await connection.close()

    def stop_waiting(self) -> bool:
        """Whoever waits for a connection has waited long enough: those requests fail. Whether the client waited."""
        if self._state is not _State.WAITING:
            return False
        self._set_state(_State.LOST)
        return True

    async def perform(self, request: ClientRequest) -> Answer:
        """Do one request; its answer may say that it failed. Raises BlockError when there is nobody to ask."""
        async with self._slots:
            while True:
                connection = await self._get_connection()
                try:
                    answer = await connection.perform(request)
                    self._lost_at = None
                    return answer
                except ConnectionLost as error:
                    self._lost(connection, error)
                    if self._state is not _State.WAITING:
                        raise

    # Connections.

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self.export = connection.export
        self._set_state(_State.CONNECTED)

    def _set_state(self, state: _State) -> None:
        self._state = state
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._news.set()
        self._news = asyncio.Event()

    def _lost(self, connection: Connection, error: ConnectionLost) -> None:
        """A request met the end of its connection; the first that does decides what follows."""
        if self._state is not _State.CONNECTED or connection is not self._connection:
            return
        if error.is_peers_fault:
            self._set_state(_State.OVER)
            return
        left = self._time_to_wait()
        if left > 0:
            self._set_state(_State.WAITING)
            self._deadline = asyncio.get_running_loop().call_later(left, self.stop_waiting)
            self._seek()
        else:
            self._set_state(_State.LOST)
            if release.current() < release.QEMU_7_2:
                self._seek()

    def _time_to_wait(self) -> float:
        """How much is left of the delay: a server that comes back only to go again does not make it longer."""
        now = asyncio.get_running_loop().time()
        if self._lost_at is None:
            self._lost_at = now
            self._pause_s = 0
        return self._lost_at + self._reconnect_delay_s - now

    async def _get_connection(self) -> Connection:
        """The connection to use. Raises BlockError when there is none and it is not to be waited for."""
        while True:
            if self._state is _State.CONNECTED:
                assert self._connection is not None
                return self._connection
            if self._state is _State.OVER:
                raise BlockError.from_errno(errno.EIO)
            if self._next is not None:
                connection, self._next = self._next, None
                self._use(connection)
                continue
            if self._state is _State.LOST:
                self._seek()
                raise BlockError.from_errno(errno.EIO)
            await self._news.wait()

    def _seek(self) -> None:
        """Look for the server in the background, unless that is being done."""
        if self._seeker is None or self._seeker.done():
            self._seeker = asyncio.get_running_loop().create_task(self._seek_until_found())

    async def _seek_until_found(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S) or _FIRST_PAUSE_S
            try:
                self._next = await Connection.open(self._address, self._wanted)
            except BlockError:
                continue
            self._news.set()
            self._news = asyncio.Event()
            return
