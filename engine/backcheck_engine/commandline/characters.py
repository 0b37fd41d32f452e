"""Character devices: `-chardev BACKEND,id=…`, and the short notation of `-qmp`, `-monitor` and `-serial`."""

from __future__ import annotations

from typing import Final

from backcheck_engine.address import Address, FdAddress, InetAddress, UnixAddress
from backcheck_engine.commandline.settings import Characters, OtherCharacters, SocketCharacters
from backcheck_engine.commandline.syntax import Item, check_identifier, parse_flat, small_number
from backcheck_engine.errors import OptionError
from backcheck_engine.release import QEMU_7_2, current

_SIMPLE: Final = {device.value: device for device in OtherCharacters}

_BOOLEANS: Final = {
    "server": False,
    "wait": True,
    "delay": True,
    "nodelay": False,
    "telnet": False,
    "tn3270": False,
    "websocket": False,
    "ipv4": False,
    "ipv6": False,
    "signal": True,
    "logappend": False,
    "mux": False,
    "abstract": False,
    "tight": True,
}
_TEXTS: Final = (
    "backend",
    "id",
    "path",
    "host",
    "port",
    "localaddr",
    "fd",
    "to",
    "reconnect",
    "reconnect-ms",
    "logfile",
)
_REFUSED: Final = ("telnet", "tn3270", "websocket", "mux", "logfile")


def parse_chardev(text: str) -> tuple[str, Characters]:
    """(id, device) of a -chardev. Raises OptionError in QEMU's words."""
    options = _checked(parse_flat(text, "backend"))
    name = options.get("id")
    if name is None:
        raise OptionError("chardev: no id specified")
    check_identifier(name)
    backend = options.get("backend", "")
    if backend in _SIMPLE:
        return name, _SIMPLE[backend]
    if backend != "socket":
        raise OptionError(f"'{backend}' is not a valid char driver name")
    return name, _socket(_chardev_address(options), options)


def parse_short(text: str) -> Characters:
    """The device that `-qmp TEXT` names. Raises OptionError in QEMU's words, which say more below the first line."""
    if text in _SIMPLE:
        return _SIMPLE[text]
    kind, _, rest = text.partition(":")
    place, *more = rest.split(",", 1)
    try:
        if kind not in ("unix", "tcp"):
            raise OptionError(f"'{text}' is not a valid char driver")
        options = _checked(parse_flat(more[0]) if more else [])
    except OptionError as error:
        error.hint = f"parse error: {text}"
        raise
    if kind == "unix":
        return _socket(UnixAddress(place), options)
    host, separator, port = place.rpartition(":")
    if not separator:
        raise OptionError(f"parse error: {text}")
    return _socket(InetAddress(host.strip("[]"), port), options)


def _checked(items: list[Item]) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in items:
        if item.key not in _BOOLEANS and item.key not in _TEXTS:
            raise OptionError(f"Invalid parameter '{item.key}'")
        if item.key in _BOOLEANS and item.value not in ("on", "off", "yes", "no", "true", "false", "y", "n"):
            raise OptionError(f"Parameter '{item.key}' expects 'on' or 'off'")
        if item.key in _REFUSED and _is_on(item.value):
            raise OptionError(f"backcheck-engine does not implement '{item.key}' of a character device")
        options[item.key] = item.value
    return options


def _is_on(value: str) -> bool:
    return value not in ("off", "no", "false", "n")


def _flag(options: dict[str, str], name: str) -> bool:
    return _is_on(options[name]) if name in options else _BOOLEANS[name]


def _socket(address: Address, options: dict[str, str]) -> Characters:
    server = _flag(options, "server")
    return SocketCharacters(address=address, server=server, wait=server and _flag(options, "wait"))


def _chardev_address(options: dict[str, str]) -> Address:
    given = [name for name in ("path", "fd", "host") if name in options]
    if current() < QEMU_7_2 and len(given) != 1:
        raise OptionError("Exactly one of 'path', 'fd' or 'host' required")
    if len(given) > 1:
        raise OptionError("None or one of 'path', 'fd' or 'host' option required.")
    if "path" in options:
        return UnixAddress(options["path"])
    if "host" in options:
        if "port" not in options:
            raise OptionError("chardev: socket: no port given")
        return InetAddress(options["host"], options["port"])
    descriptor = small_number(options.get("fd", ""))
    if descriptor is None:
        raise OptionError(f"Unable to parse FD number {options.get('fd', '')}")
    return FdAddress(descriptor)
