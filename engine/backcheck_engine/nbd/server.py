"""The server: listens, and serves several clients at a time from the exports of a program."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from backcheck_engine.nbd.export_list import ExportList
from backcheck_engine.nbd.listening import close_listeners
from backcheck_engine.nbd.server_connection import Connection
from backcheck_engine.nbd.stream import Stream
from backcheck_engine.nbd.turns import Turns


class Server:
    """Serves whoever connects to `listeners`, which it owns."""

    def __init__(
        self,
        exports: ExportList,
        listeners: list[socket.socket],
        *,
        max_connections: int = 0,
        handshake_max_s: int = 0,
        client_gone: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """With `max_connections` clients (0: no limit) the next ones wait to be accepted.

        `client_gone` is told of each that has gone, and whether it had chosen an export.
        """
        self._exports: Final = exports
        self._listeners: Final = listeners
        self._max_connections: Final = max_connections
        self._handshake_max_s: Final = handshake_max_s
        self._tell_gone: Final = client_gone
        self._loop: Final = asyncio.get_running_loop()
        self._connections: Final[dict[Connection, asyncio.Task[None]]] = {}
        self._turns: Final = Turns()
        self._is_accepting = False
        self._is_listening = True
        for listener in listeners:
            listener.setblocking(False)
        self._accept_if_there_is_room()

    @property
    def takes_many_clients(self) -> bool:
        """Whether a client may open several connections."""
        return self._max_connections != 1

    @property
    def connection_count(self) -> int:
        """How many clients there are."""
        return len(self._connections)

    def _accept_if_there_is_room(self) -> None:
        room = not self._max_connections or len(self._connections) < self._max_connections
        wanted = self._is_listening and room
        if wanted == self._is_accepting:
            return
        self._is_accepting = wanted
        for listener in self._listeners:
            if wanted:
                self._loop.add_reader(listener, self._accept, listener)
            else:
                self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            # Whoever it was has gone again, or there are too many files: the next one may have more luck.
            return
        stream = Stream(connected, self._turns)
        connection = Connection(stream, self._exports, self._turns, handshake_max_s=self._handshake_max_s)
        task = self._loop.create_task(connection.run())
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._client_gone(connection))
        self._accept_if_there_is_room()

    def _client_gone(self, connection: Connection) -> None:
        del self._connections[connection]
        self._tell_gone(connection.has_chosen)
        self._accept_if_there_is_room()

    def stop_listening(self) -> None:
        """Let nobody else in. The path of a socket goes away with it."""
        if not self._is_listening:
            return
        self._is_listening = False
        self._accept_if_there_is_room()
        close_listeners(self._listeners)

    async def close(self) -> None:
        """Send all clients away, and wait until they are gone."""
        self.stop_listening()
        for connection in self._connections:
            connection.close()
        if self._connections:
            await asyncio.wait(list(self._connections.values()))
