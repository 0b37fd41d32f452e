"""The options of the driver `nbd`: where the server is, what is wanted of it, how long to wait for it."""

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.address import Address, FdAddress, InetAddress, UnixAddress
from backcheck_engine.block.options import Options, bad_choice, parse_number
from backcheck_engine.errors import BlockError, OptionError
from backcheck_engine.nbd.constants import BASE_ALLOCATION, MAX_STRING_BYTES, NBD_PORT

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph

_TEXT: Final = "text"
_BOOL: Final = "bool"
_NUMBER: Final = "number"
_INET: Final = {
    "numeric": _BOOL,
    "to": _NUMBER,
    "ipv4": _BOOL,
    "ipv6": _BOOL,
    "keep-alive": _BOOL,
    "keep-alive-count": _NUMBER,
    "keep-alive-idle": _NUMBER,
    "keep-alive-interval": _NUMBER,
    "mptcp": _BOOL,
}
_SERVERS: Final[dict[str, tuple[tuple[str, ...], dict[str, str]]]] = {
    "inet": (("host", "port"), _INET),
    "unix": (("path",), {"abstract": _BOOL, "tight": _BOOL}),
    "vsock": (("cid", "port"), {}),
    "fd": (("str",), {}),
}
"""The members of each type of server: what it must have, and what it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdOptions:
    """What a user asked for."""

    address: Address
    export: str | None
    context: str
    """The meta context that block status is made of."""
    reconnect_delay_s: int
    open_timeout_s: int
    has_plain_address: bool
    """Whether a filename can say where the server is."""

    @property
    def has_own_context(self) -> bool:
        """Whether the user chose the context, so that it has to be there."""
        return self.context != BASE_ALLOCATION


def take(options: Options, graph: "Graph") -> NbdOptions:
    """Consume the options, in QEMU's order. Raises BlockError or OptionError in QEMU's words."""
    host, port, path = (options.take_str(name) for name in ("host", "port", "path"))
    export = options.take_str("export")
    credentials = options.take_str("tls-creds")
    context = options.take_str("x-dirty-bitmap")
    delay = _seconds(options, "reconnect-delay")
    timeout = 0
    if release.current() >= release.QEMU_7_2:
        timeout = _seconds(options, "open-timeout")
        options.take_str("tls-hostname")
    server = options.children("server")
    _take_legacy(server, host, port, path)
    address, is_plain = _take_server(server)
    _check_length(export, "export name too long to send to server")
    _check_credentials(credentials, graph)
    _check_length(context, "x-dirty-bitmap query too long to send to server")
    return NbdOptions(
        address=address,
        export=export,
        context=context or BASE_ALLOCATION,
        reconnect_delay_s=delay,
        open_timeout_s=timeout,
        has_plain_address=is_plain,
    )


def _seconds(options: Options, name: str) -> int:
    """A number of seconds, 0 when it is not given."""
    return options.take_int(name) & 0xFFFFFFFF


def _check_length(text: str | None, message: str) -> None:
    if text is not None and len(text.encode("utf-8", "surrogateescape")) > MAX_STRING_BYTES:
        raise BlockError(message, errno.EINVAL)


def _check_credentials(name: str | None, graph: "Graph") -> None:
    """The engine has no objects that are TLS credentials."""
    if name is None:
        return
    if graph.throttle_groups.find(name) is not None:
        raise BlockError(f"Object with id '{name}' is not TLS credentials", errno.EINVAL)
    raise BlockError(f"No TLS credentials with id '{name}'", errno.EINVAL)


def _take_legacy(server: Options, host: str | None, port: str | None, path: str | None) -> None:
    """Options from before there was `server`, as what they mean."""
    if path is not None and host is not None:
        raise BlockError("path and host may not be used at the same time", errno.EINVAL)
    if (path is not None or host is not None) and len(server):
        raise BlockError("Cannot use 'server' and path/host/port at the same time", errno.EINVAL)
    if path is not None:
        if port is not None:
            raise BlockError("port may not be used without host", errno.EINVAL)
        server.set("type", "unix")
        server.set("path", path)
    elif host is not None:
        server.set("type", "inet")
        server.set("host", host)
        server.set("port", port if port is not None else str(NBD_PORT))


def _take_server(server: Options) -> tuple[Address, bool]:
    """(address, whether nothing but it was given)."""
    if not len(server):
        raise BlockError("NBD server address missing", errno.EINVAL)
    kind = _needed(server, "type")
    if kind not in _SERVERS:
        raise bad_choice("type", kind)
    needed, possible = _SERVERS[kind]
    values = {name: _needed(server, name) for name in needed}
    flags = {name: _take_typed(server, name, of) for name, of in possible.items() if name in server}
    if len(server):
        raise OptionError(f"Parameter '{server.keys()[0]}' is unexpected")
    return _address(kind, values, flags), not flags.keys() & {"ipv4", "ipv6", "to"}


def _needed(server: Options, name: str) -> str:
    value = server.take_str(name)
    if value is None:
        raise OptionError(f"Parameter '{name}' is missing")
    return value


def _take_typed(server: Options, name: str, kind: str) -> int:
    return server.take_bool(name) if kind is _BOOL else server.take_int(name)


def _address(kind: str, values: dict[str, str], flags: dict[str, int]) -> Address:
    match kind:
        case "unix":
            path = values["path"]
            return UnixAddress(f"\0{path}" if flags.get("abstract") else path)
        case "inet":
            return InetAddress(values["host"], values["port"])
        case "fd":
            return FdAddress(_descriptor(values["str"]))
    raise BlockError("socket family AF_VSOCK unsupported", errno.EINVAL)


def _descriptor(text: str) -> int:
    try:
        return parse_number("str", text)
    except OptionError as error:
        raise BlockError(f"File descriptor named '{text}' has not been found", errno.EINVAL) from error
