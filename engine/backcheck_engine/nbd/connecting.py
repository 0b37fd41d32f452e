"""How a client gets a socket: connects to a unix socket or a TCP port, and says in QEMU's words why it cannot."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from typing import Final, TypeAlias

from backcheck_engine.address import Address, FdAddress, InetAddress, UnixAddress
from backcheck_engine.errors import BlockError

_Place: TypeAlias = bytes | tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

_UNIX_PATH_BYTES: Final = 108
"""What a unix socket's address has room for, its last byte included."""


async def connect(address: Address) -> socket.socket:
    """A connected, non-blocking stream socket. Raises BlockError."""
    if isinstance(address, UnixAddress):
        return await _connect_unix(address.path)
    if isinstance(address, InetAddress):
        return await _connect_inet(address)
    return _adopt(address)


async def _connect_unix(path: str) -> socket.socket:
    encoded = os.fsencode(path)
    if len(encoded) >= _UNIX_PATH_BYTES and not encoded.startswith(b"\0"):
        raise BlockError(
            f"UNIX socket path '{path}' is too long",
            errno.EINVAL,
            hint=f"Path must be less than {_UNIX_PATH_BYTES} bytes",
        )
    if not encoded:
        # Linux takes an empty name for one that is abstract and that nobody has.
        raise _refused("", errno.ECONNREFUSED)
    return await _try_to_connect(socket.AF_UNIX, encoded, path.replace("\0", "", 1))


async def _connect_inet(address: InetAddress) -> socket.socket:
    name = f"{address.host}:{address.port}"
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        words = error.strerror if isinstance(error, socket.gaierror) else "Name or service not known"
        raise BlockError(f"address resolution failed for {name}: {words}", errno.EINVAL) from error
    failure: BlockError | None = None
    for family, _, _, _, place in found:
        try:
            connection = await _try_to_connect(family, place, name)
        except BlockError as error:
            failure = error
            continue
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    assert failure is not None
    raise failure


async def _try_to_connect(family: int, place: _Place, name: str) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, place)
    except OSError as error:
        connection.close()
        raise _refused(name, error.errno or errno.EIO) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _refused(name: str, code: int) -> BlockError:
    return BlockError(f"Failed to connect to '{name}': {os.strerror(code)}", code)


def _adopt(address: FdAddress) -> socket.socket:
    """A socket that the program was started with, as one of its own."""
    descriptor = address.descriptor
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        is_socket = False
    if not is_socket:
        raise BlockError(f"File descriptor '{descriptor}' is not a socket", errno.EINVAL)
    connection = socket.socket(fileno=os.dup(descriptor))
    connection.setblocking(False)
    return connection
