"""Where the client of a monitor comes from: standard input and output, or a socket, as server or as client.

An endpoint serves one client at a time; the next one waits in the socket's queue until the first has gone.
Opening happens before there is a loop, so that errors are those of the command line; `start` needs the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from backcheck_engine.address import Address, FdAddress, InetAddress, UnixAddress
from backcheck_engine.errors import OptionError
from backcheck_engine.monitor.channel import Channel
from backcheck_engine.monitor.terminal import Terminal

Connected: TypeAlias = Callable[[Channel], None]
_BACKLOG: Final = 16


class Endpoint(Protocol):
    """Brings clients, one at a time."""

    def start(self, connected: Connected) -> None:
        """Begin; `connected` gets the channel of each client, not open yet."""
        ...

    def client_gone(self) -> None:
        """The last client has gone, another may come."""
        ...

    def close(self) -> None:
        """No more clients."""
        ...


class Stdio:
    """Standard input and output; the one client is there from the start."""

    def __init__(self) -> None:
        self._terminal: Final = Terminal(0)

    def start(self, connected: Connected) -> None:
        self._terminal.begin()
        connected(Channel(0, 1, close_descriptors=False))

    def client_gone(self) -> None:
        """Nobody else comes."""

    def close(self) -> None:
        """The descriptors belong to the program; a terminal gets its own manners back."""
        self._terminal.end()


class Nobody:
    """A character device behind which there is nobody."""

    def start(self, connected: Connected) -> None:
        """Nobody comes."""

    def client_gone(self) -> None:
        """Nobody comes."""

    def close(self) -> None:
        """There is nothing to close."""


class SocketServer:
    """Listens, and takes the next client when the last has gone."""

    def __init__(self, address: Address) -> None:
        """Raises OptionError when nobody can listen there."""
        self._path: str | None = None
        self._listener = self._listen(address)
        self._first: socket.socket | None = None

    def wait_for_client(self) -> None:
        """Block until somebody has connected (`wait=on`)."""
        self._first, _ = self._listener.accept()

    def start(self, connected: Connected) -> None:
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        if self._first:
            self._connected(_channel(self._first))
        else:
            self._loop.add_reader(self._listener, self._accept)

    def client_gone(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        self._loop.remove_reader(self._listener)
        self._connected(_channel(connection))

    def _listen(self, address: Address) -> socket.socket:
        if isinstance(address, FdAddress):
            return _listen_inherited(address.descriptor)
        listener = self._listen_unix(address.path) if isinstance(address, UnixAddress) else _listen_inet(address)
        listener.listen(_BACKLOG)
        return listener

    def _listen_unix(self, path: str) -> socket.socket:
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        except OSError as error:
            raise _unix_error(error, path, f"Failed to unlink socket {path}") from error
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(path)
        except OSError as error:
            listener.close()
            raise _unix_error(error, path, f"Failed to bind socket to {path}") from error
        self._path = path
        return listener


class SocketClient:
    """Connects to somebody who listens; when they go, that was it."""

    def __init__(self, address: Address) -> None:
        """Raises OptionError when nobody listens there."""
        self._connection = _connect(address)

    def start(self, connected: Connected) -> None:
        connected(_channel(self._connection))

    def client_gone(self) -> None:
        """Nobody else comes."""

    def close(self) -> None:
        """The channel owns the connection."""


def _channel(connection: socket.socket) -> Channel:
    descriptor = connection.detach()
    return Channel(descriptor, descriptor)


def _inherited(descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise OptionError(f"File descriptor '{descriptor}' is not a socket") from error


def _listen_inherited(descriptor: int) -> socket.socket:
    listener = _inherited(descriptor)
    try:
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OptionError(f"Failed to listen on fd socket: {error.strerror}") from error
    return listener


def _connect(address: Address) -> socket.socket:
    if isinstance(address, FdAddress):
        return _inherited(address.descriptor)
    if isinstance(address, InetAddress):
        try:
            return socket.create_connection((address.host, address.port))
        except OSError as error:
            problem = f"Failed to connect to '{address.host}:{address.port}': {error.strerror}"
            raise OptionError(problem) from error
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address.path)
    except OSError as error:
        connection.close()
        raise _unix_error(error, address.path, f"Failed to connect to '{address.path}'") from error
    return connection


def _listen_inet(address: InetAddress) -> socket.socket:
    place = f"{address.host}:{address.port}"
    try:
        found = socket.getaddrinfo(address.host or None, address.port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    except OSError as error:
        problem = f"address resolution failed for {place}: {error.strerror}"
        raise OptionError(problem) from error
    family, kind, protocol, _, name = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(name)
    except OSError as error:
        listener.close()
        raise OptionError(f"Failed to find an available port: {error.strerror}") from error
    return listener


def _unix_error(error: OSError, path: str, problem: str) -> OptionError:
    if error.errno is None:
        return OptionError(f"UNIX socket path '{path}' is too long")
    return OptionError(f"{problem}: {error.strerror}")
