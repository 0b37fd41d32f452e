"""Commands about the NBD server, which shows the machine's exports; what it shows is in `export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from backcheck_engine.errors import BlockError, QmpError
from backcheck_engine.monitor.export import export_list
from backcheck_engine.monitor.registry import NoArguments, command
from backcheck_engine.nbd.listening import InetPlace, Place, UnixPlace, VsockPlace, listen
from backcheck_engine.nbd.server import Server
from backcheck_engine.release import QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.release import Release

_HANDSHAKE_MAX_S: Final = 10
_MAX_CONNECTIONS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdServerStart:
    """Arguments of `nbd-server-start`."""

    addr: JsonObject
    handshake_max_seconds: int | None = None
    tls_creds: str | None = None
    tls_authz: str | None = None
    max_connections: int | None = None


@command("nbd-server-start", NbdServerStart)
async def nbd_server_start(context: Context, arguments: NbdServerStart) -> JsonValue:
    """Listen. Since 9.2 there are limits when nobody says so: on clients, and on the time for a handshake."""
    _check_none(context)
    default_connections, default_seconds = _default_limits(context.release)
    connections, seconds = arguments.max_connections, arguments.handshake_max_seconds
    start_server(
        context,
        _place(arguments.addr),
        max_connections=default_connections if connections is None else connections,
        handshake_max_s=default_seconds if seconds is None else seconds,
        tls_credentials=arguments.tls_creds,
    )
    return {}


@command("nbd-server-stop", NoArguments)
async def nbd_server_stop(context: Context, arguments: NoArguments) -> JsonValue:
    """Let all clients and all exports go, and listen no longer."""
    await export_list(context).stop_server()
    return {}


def start_plain_server(context: Context, place: Place) -> None:
    """The server as the human monitor starts it, with the limits that hold when nobody says so. Raises EngineError."""
    _check_none(context)
    connections, seconds = _default_limits(context.release)
    start_server(context, place, max_connections=connections, handshake_max_s=seconds, tls_credentials=None)


def start_server(
    context: Context, place: Place, *, max_connections: int, handshake_max_s: int, tls_credentials: str | None
) -> None:
    """Start the machine's server. Raises EngineError."""
    exports = export_list(context)
    server = Server(exports, listen(place), max_connections=max_connections, handshake_max_s=handshake_max_s)
    if tls_credentials is not None:
        server.stop_listening()
        if context.objects.find(tls_credentials) is None:
            raise QmpError.generic(f"No TLS credentials with id '{tls_credentials}'")
        raise QmpError.generic(f"Object with id '{tls_credentials}' is not TLS credentials")
    exports.server = server


def _check_none(context: Context) -> None:
    if export_list(context).server is not None:
        raise BlockError("NBD server already running")


def _default_limits(release: Release) -> tuple[int, int]:
    """(how many clients, how many seconds for a handshake); 0 is no limit."""
    return (_MAX_CONNECTIONS, _HANDSHAKE_MAX_S) if release >= QEMU_10_0 else (0, 0)


def _place(address: JsonObject) -> Place:
    """Where a SocketAddressLegacy, which the schema has checked, says to listen. Raises BlockError."""
    data = cast("JsonObject", address["data"])
    if address["type"] == "unix":
        abstract, tight = bool(data.get("abstract", False)), bool(data.get("tight", True))
        return UnixPlace(path=str(data["path"]), abstract=abstract, tight=tight)
    if address["type"] == "inet":
        return _inet_place(data)
    if address["type"] == "vsock":
        return VsockPlace(cid=str(data["cid"]), port=str(data["port"]))
    # A monitor has no descriptors: nobody can have passed one.
    raise BlockError(f"File descriptor named '{data['str']}' has not been found")


def _inet_place(data: JsonObject) -> InetPlace:
    families = {name: cast("bool | None", data.get(name)) for name in ("ipv4", "ipv6")}
    return InetPlace(
        host=str(data["host"]),
        port=str(data["port"]),
        last_port=int(cast("int", data.get("to", 0))),
        numeric=bool(data.get("numeric", False)),
        keep_alive=bool(data.get("keep-alive", False)),
        **families,
    )
