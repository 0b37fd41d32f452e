"""Commands of the human monitor about the NBD server and its exports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from backcheck_engine.errors import EngineError, OptionError
from backcheck_engine.monitor import registry
from backcheck_engine.monitor.block_query import block_devices
from backcheck_engine.monitor.nbd_server import start_plain_server
from backcheck_engine.nbd.listening import InetPlace, Place, UnixPlace, VsockPlace
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments
    from backcheck_engine.release import Release

_INET: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[]*):(?P<port>[^,]+)(?P<options>,.*)?")


async def nbd_server_start(context: Context, arguments: HmpArguments) -> str:
    """Start the server; with -a all devices that have a medium are exported, or none."""
    writable, exports_all = "writable" in arguments.flags, "all" in arguments.flags
    if writable and not exports_all:
        raise OptionError("-w only valid together with -a")
    start_plain_server(context, _parse_place(arguments.texts["uri"], context.release))
    if not exports_all:
        return ""
    for device in block_devices(context):
        if "inserted" not in device:
            continue
        try:
            await _run(context, "nbd-server-add", {"device": device["device"], "writable": writable})
        except EngineError:
            await _run(context, "nbd-server-stop", {})
            raise
    return ""


async def nbd_server_add(context: Context, arguments: HmpArguments) -> str:
    members: JsonObject = {"device": arguments.texts["device"], "writable": "writable" in arguments.flags}
    if "name" in arguments.texts:
        members["name"] = arguments.texts["name"]
    return await _run(context, "nbd-server-add", members)


async def nbd_server_remove(context: Context, arguments: HmpArguments) -> str:
    mode = "hard" if "force" in arguments.flags else "safe"
    return await _run(context, "nbd-server-remove", {"name": arguments.texts["name"], "mode": mode})


async def nbd_server_stop(context: Context, arguments: HmpArguments) -> str:
    return await _run(context, "nbd-server-stop", {})


async def _run(context: Context, command: str, members: JsonObject) -> str:
    await registry.handler(command)(context, members)
    return ""


def _parse_place(text: str, release: Release) -> Place:
    """The place that "unix:path", "vsock:cid:port" or "[tcp:]host:port" means. Raises OptionError."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        if not rest:
            raise OptionError("invalid Unix socket address")
        return UnixPlace(path=rest)
    if kind == "fd":
        raise OptionError(f"File descriptor named '{rest}' has not been found")
    if kind == "vsock":
        return _parse_vsock(rest)
    return _parse_inet(rest if kind == "tcp" and release >= QEMU_7_2 else text)


def _parse_vsock(text: str) -> Place:
    cid, colon, port = text.partition(":")
    if not (cid and colon and port):
        raise OptionError(f"error parsing address '{text}'")
    return VsockPlace(cid=cid, port=port)


def _parse_inet(text: str) -> Place:
    match = _INET.fullmatch(text)
    if match is None:
        raise OptionError(f"error parsing address '{text}'")
    options = [part.partition("=") for part in (match["options"] or "").split(",")[1:]]
    settings = {name: value in ("", "on") for name, _, value in options}
    last_port = next((value for name, _, value in options if name == "to"), "0")
    if not last_port.isdecimal():
        raise OptionError("error parsing to= argument")
    return InetPlace(
        host=match["host"].strip("[]"),
        port=match["port"],
        last_port=int(last_port),
        ipv4=settings.get("ipv4"),
        ipv6=settings.get("ipv6"),
        keep_alive=settings.get("keep-alive", False),
    )
