"""Addresses of sockets, as the command line names them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class UnixAddress(NamedTuple):
    """A unix socket, by its path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class InetAddress(NamedTuple):
    """A TCP port of a host; an empty host is any."""

    host: str
    port: str

    def __str__(self) -> str:
        return f"tcp:{self.host}:{self.port}"


class FdAddress(NamedTuple):
    """A socket that the program was started with."""

    descriptor: int

    def __str__(self) -> str:
        return f"fd:{self.descriptor}"


Address: TypeAlias = UnixAddress | InetAddress | FdAddress
