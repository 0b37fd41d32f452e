"""Sockets to listen on, for an address as QAPI's SocketAddress has it. Errors are in QEMU's words."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from backcheck_engine.errors import BlockError

_BACKLOG: Final = 128
_LONGEST_PATH: Final = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixPlace:
    """A unix socket; an abstract one has a name that no file has."""

    path: str
    abstract: bool = False
    tight: bool = True
    """Whether an abstract name ends where the path does, instead of being filled up with zeroes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InetPlace:
    """A TCP port; with `last_port` the first free one from `port` on."""

    host: str
    port: str
    last_port: int = 0
    numeric: bool = False
    ipv4: bool | None = None
    ipv6: bool | None = None
    keep_alive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VsockPlace:
    """A port of a virtual machine's own kind of socket."""

    cid: str
    port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedPlace:
    """A socket that the program was started with."""

    descriptor: int


Place: TypeAlias = UnixPlace | InetPlace | VsockPlace | InheritedPlace


def listen(place: Place) -> list[socket.socket]:
    """The listening sockets: a host may have several addresses. Raises BlockError."""
    if isinstance(place, InetPlace):
        return _listen_inet(place)
    if isinstance(place, UnixPlace):
        return [_listen_unix(place)]
    if isinstance(place, VsockPlace):
        return [_listen_vsock(place)]
    return [_listen_inherited(place.descriptor)]


def close_listeners(listeners: list[socket.socket]) -> None:
    """Let nobody else in; the path of a unix socket goes away."""
    for listener in listeners:
        if listener.fileno() < 0:
            continue
        path = listener.getsockname() if listener.family == socket.AF_UNIX else ""
        listener.close()
        if path and isinstance(path, str):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _listen_unix(place: UnixPlace) -> socket.socket:
    name = _unix_name(place)
    if len(name) > _LONGEST_PATH:
        hint = f"Path must be less than {_LONGEST_PATH + 1} bytes"
        raise BlockError(f"UNIX socket path '{place.path}' is too long", errno.EINVAL, hint=hint)
    listener = socket.socket(socket.AF_UNIX)
    try:
        if not place.abstract:
            _make_way(place.path)
        listener.bind(name)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _failed(f"Failed to bind socket to {place.path}", error) from error
    return listener


def _make_way(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failed(f"Failed to unlink socket {path}", error) from error


def _unix_name(place: UnixPlace) -> bytes:
    name = os.fsencode(place.path)
    if not place.abstract:
        return name
    name = b"\0" + name
    return name if place.tight else name.ljust(_LONGEST_PATH + 1, b"\0")[: _LONGEST_PATH + 1]


def _listen_inet(place: InetPlace) -> list[socket.socket]:
    shown = f"{place.host}:{place.port}"
    failure: BlockError | None = None
    listeners: list[socket.socket] = []
    for family, address in _resolve(place, shown):
        try:
            listeners.append(_listen_at(family, address, place, shown))
        except BlockError as error:
            failure = error
    if not listeners:
        raise failure or BlockError(f"address resolution failed for {shown}: no address", errno.EINVAL)
    return listeners


def _resolve(place: InetPlace, shown: str) -> Iterator[tuple[int, tuple[str, int]]]:
    """(family, address) of each address of the host, none twice."""
    if place.ipv4 is False and place.ipv6 is False:
        raise BlockError("Cannot disable IPv4 and IPv6 at same time", errno.EINVAL)
    family = _FAMILIES[place.ipv4, place.ipv6]
    flags = socket.AI_PASSIVE | (socket.AI_NUMERICHOST | socket.AI_NUMERICSERV if place.numeric else 0)
    try:
        found = socket.getaddrinfo(place.host or None, place.port or "0", family, socket.SOCK_STREAM, 0, flags)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "Name or service not known"
        raise BlockError(f"address resolution failed for {shown}: {reason}", errno.EINVAL) from error
    seen = set()
    for kind, _, _, _, address in found:
        if (kind, address[:2]) not in seen:
            seen.add((kind, address[:2]))
            yield kind, (str(address[0]), int(address[1]))


_FAMILIES: Final = {
    (None, None): socket.AF_UNSPEC,
    (None, False): socket.AF_INET,
    (None, True): socket.AF_INET6,
    (False, None): socket.AF_INET6,
    (False, True): socket.AF_INET6,
    (True, None): socket.AF_INET,
    (True, False): socket.AF_INET,
    (True, True): socket.AF_UNSPEC,
}
"""(ipv4, ipv6) as a client gives them: one alone that is on, or the other that is off, leaves one family."""


def _listen_at(family: int, address: tuple[str, int], place: InetPlace, shown: str) -> socket.socket:
    host, port = address
    failure: OSError | None = None
    for number in range(port, max(port, place.last_port) + 1):
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if place.keep_alive:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.bind((host, number))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            failure = error
            if error.errno != errno.EADDRINUSE:
                break
        else:
            return listener
    assert failure is not None
    raise _failed("Failed to find an available port", failure) from failure


def _listen_vsock(place: VsockPlace) -> socket.socket:
    for what, value in (("cid", place.cid), ("port", place.port)):
        if not value.isdecimal():
            raise BlockError(f"Failed to parse {what} '{value}'", errno.EINVAL)
    try:
        listener = socket.socket(socket.AF_VSOCK)
    except OSError as error:
        raise _failed("Failed to create socket", error) from error
    try:
        listener.bind((int(place.cid), int(place.port)))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _failed("Failed to bind socket", error) from error
    return listener


def _listen_inherited(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise BlockError(f"File descriptor '{descriptor}' is not a socket", errno.EINVAL) from error
    try:
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _failed("Failed to listen on fd socket", error) from error
    return listener


def _failed(what: str, error: OSError) -> BlockError:
    return BlockError(f"{what}: {os.strerror(error.errno or errno.EIO)}", error.errno or errno.EIO)
