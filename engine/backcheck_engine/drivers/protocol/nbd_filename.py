"""Filenames of NBD exports, both ways: nbd:unix:…, nbd:host:port, and URLs; the filename that an export shows."""

import errno
import re
from typing import Final

from backcheck_engine import release
from backcheck_engine.address import Address, InetAddress, UnixAddress
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.nbd.constants import NBD_PORT

_EXPORT_NAME: Final = ":exportname="
_LONGEST_FILENAME: Final = 4096
_URL: Final = re.compile(r"(nbd|nbd\+tcp|nbd\+unix)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(?:[^@]*@)?(\[[^\]]*\]|[^:]*)(?::(\d*))?", re.DOTALL)
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_IN_OLD_URLS: Final = re.compile(r'[^!-~]|[<>"{}|\\^`]')
_IPV6_PLACE: Final = re.compile(r"\[([^\]]{1,64})\]:([^,]{1,32})")
_PLACE: Final = re.compile(r"([^:]{0,64}):([^,]{1,32})")


def parse(filename: str) -> JsonObject:
    """The options, flat, that a filename stands for. Raises BlockError in QEMU's words."""
    if "://" in filename:
        return _parse_url(filename)
    rest, separator, export = filename.partition(_EXPORT_NAME)
    if separator and not export:
        return {}
    if not rest.startswith("nbd:"):
        raise BlockError("File name string for NBD must start with 'nbd:'", errno.EINVAL)
    options: JsonObject = {"export": export} if export else {}
    place = rest.removeprefix("nbd:")
    if not place:
        return options
    if place.startswith("unix:"):
        return options | _unix_server(place.removeprefix("unix:"))
    found = _IPV6_PLACE.match(place) or (None if place.startswith("[") else _PLACE.match(place))
    if found is None:
        kind = "IPv6 address" if place.startswith("[") else "address"
        raise BlockError(f"error parsing {kind} '{place}'", errno.EINVAL)
    return options | _inet_server(*found.groups())


def _unix_server(path: str) -> JsonObject:
    return {"server.type": "unix", "server.path": path}


def _inet_server(host: str, port: str) -> JsonObject:
    return {"server.type": "inet", "server.host": host, "server.port": port}


def _parse_url(url: str) -> JsonObject:
    parts = _URL.fullmatch(url)
    is_old = release.current() < release.QEMU_10_0
    if parts is None or _BAD_ESCAPE.search(url) or (is_old and _NOT_IN_OLD_URLS.search(url)):
        raise _bad_url()
    scheme, authority, path, query = parts.groups()
    export = _unescape(path.removeprefix("/"))
    options: JsonObject = {"export": export} if export else {}
    if scheme == "nbd+unix":
        if authority:
            raise _bad_url()
        return options | _unix_server(_socket_of(query or ""))
    if query:
        raise _bad_url()
    return options | _inet_of(authority)


def _socket_of(query: str) -> str:
    """The path in a query that has nothing else."""
    name, equals, path = query.partition("=")
    if _unescape(name) != "socket" or not equals or "&" in path or ";" in path:
        raise _bad_url()
    return _unescape(path)


def _inet_of(authority: str) -> JsonObject:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or not found[1]:
        raise _bad_url()
    host = _unescape(found[1].removeprefix("[").removesuffix("]"))
    return _inet_server(host, str(int(found[2] or 0) or NBD_PORT))


def _unescape(text: str) -> str:
    encoded = text.encode("utf-8", "surrogateescape")
    plain = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), encoded)
    return plain.decode("utf-8", "surrogateescape")


def _bad_url() -> BlockError:
    return BlockError("No valid URL specified", errno.EINVAL)


def filename_of(address: Address, export: str | None) -> str:
    """The URL that QEMU shows for an export; '' where there is none."""
    if isinstance(address, UnixAddress):
        name = f"nbd+unix://?socket={address.path}"
        if export is not None:
            name = f"nbd+unix:///{export}?socket={address.path}"
    elif isinstance(address, InetAddress):
        name = f"nbd://{address.host}:{address.port}" + ("" if export is None else f"/{export}")
    else:
        return ""
    return name if len(name) < _LONGEST_FILENAME else ""
