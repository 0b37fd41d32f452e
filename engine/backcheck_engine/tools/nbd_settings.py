"""What a command line of backcheck-nbd asks for, checked; errors in qemu-nbd's words and order."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backcheck_engine.address import Address, InetAddress, UnixAddress
from backcheck_engine.json_value import JsonObject
from backcheck_engine.nbd.constants import MAX_STRING_BYTES, NBD_PORT
from backcheck_engine.nbd.listening import InetPlace, InheritedPlace, Place, UnixPlace
from backcheck_engine.qemu_io.numbers import NotANumber, OutOfRange, parse_integer, parse_size
from backcheck_engine.tools.command_line import Given
from backcheck_engine.tools.image_options import CACHE_MODES, DISCARD_MODES, CacheMode, check_objects
from backcheck_engine.tools.images import ImageName
from backcheck_engine.tools.program import ToolError

_AIO_MODES: Final = ("native", "threads", "io_uring")
_ZERO_MODES: Final = ("off", "on", "unmap")
_MOST_CLIENTS: Final = 2**31 - 1
_MOST_BYTES: Final = 2**64 - 1
_ANYWHERE: Final = "0.0.0.0"
_FIRST_INHERITED: Final = 3
_SIZE_HINT: Final = (
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How one image is exported."""

    image: ImageName
    place: Place
    export_name: str = ""
    description: str = ""
    shared: int = 1
    """How many clients at a time; 0 is any number."""
    persistent: bool = False
    offset: int = 0
    bitmaps: Sequence[str] = ()
    allocation_depth: bool = False
    snapshot: bool = False
    fork: bool = False
    verbose: bool = False
    pid_file: str | None = None

    @property
    def writable(self) -> bool:
        """Whether clients may write."""
        return self.image.writable or self.snapshot

    @classmethod
    def from_command_line(cls, given: Given) -> "ServeSettings":
        """The settings. Raises ToolError."""
        check_objects(given.all("object"))
        image = _image(given)
        if given.has("tls-creds"):
            name = given.last("tls-creds")
            raise ToolError(f"Failed to get TLS creds: No TLS credentials with id '{name}'")
        return cls(
            image=image,
            place=_place(given),
            export_name=_text(given, "export-name", "export name"),
            description=_text(given, "description", "export description"),
            shared=_shared(given.last("shared")),
            persistent=given.has("persistent"),
            offset=_offset(given.last("offset")),
            bitmaps=given.all("bitmap"),
            allocation_depth=given.has("allocation-depth"),
            snapshot=given.has("snapshot"),
            fork=given.has("fork"),
            verbose=given.has("verbose"),
            pid_file=given.last("pid-file"),
        )


def server_address(given: Given) -> Address:
    """The server that is to be asked what it has. Raises ToolError."""
    path = _socket_path(given)
    if path is not None:
        return UnixAddress(path)
    return InetAddress(given.last("bind") or _ANYWHERE, given.last("port") or str(NBD_PORT))


def _image(given: Given) -> ImageName:
    detect_zeroes = given.last("detect-zeroes")
    options: JsonObject = {}
    cache = _cache(given)
    aio = given.last("aio")
    if aio is not None and aio not in _AIO_MODES:
        raise ToolError(f"Invalid aio mode '{aio}'")
    if aio == "native" and not cache.direct:
        what = "aio=native was specified, but it requires cache.direct=on, which was not specified."
        raise ToolError(f"Failed to blk_new_open '{given.operands[0]}': {what}")
    discard = given.last("discard") or "unmap"
    if discard not in DISCARD_MODES:
        raise ToolError(f"Invalid discard mode `{discard}'")
    if detect_zeroes is not None:
        if detect_zeroes not in _ZERO_MODES:
            raise ToolError(f"Failed to parse detect_zeroes mode: invalid parameter value: {detect_zeroes}")
        if detect_zeroes == "unmap" and DISCARD_MODES.get(given.last("discard") or "") != "unmap":
            raise ToolError("setting detect-zeroes to unmap is not allowed without setting discard operation to unmap")
        options["detect-zeroes"] = detect_zeroes
    return ImageName(
        text=given.operands[0],
        is_options=given.has("image-opts"),
        format=given.last("format"),
        extra_options=options,
        cache=cache,
        writable=not (given.has("read-only") or given.has("snapshot")),
        discard=DISCARD_MODES[discard] == "unmap",
    )


def _cache(given: Given) -> CacheMode:
    modes = ["none"] * len(given.all("nocache")) + list(given.all("cache"))
    if len(modes) > 1:
        raise ToolError("-n and --cache can only be specified once")
    mode = modes[0] if modes else "writeback"
    if mode not in CACHE_MODES:
        raise ToolError(f"Invalid cache mode `{mode}'")
    return CACHE_MODES[mode]


def _text(given: Given, key: str, shown: str) -> str:
    text = given.last(key) or ""
    if len(text.encode(errors="surrogateescape")) > MAX_STRING_BYTES:
        raise ToolError(f"{shown} '{text}' too long")
    return text


def _shared(text: str | None) -> int:
    if text is None:
        return 1
    number = parse_integer(text)
    if number is None or not 0 <= number <= _MOST_CLIENTS:
        raise ToolError(f"Invalid shared device number '{text}'")
    return number


def _offset(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return parse_size(text, _MOST_BYTES)
    except (NotANumber, OutOfRange) as error:
        if not text.startswith("-"):
            raise ToolError(f"Invalid offset '{text}'") from error
        what = "Parameter 'offset' expects a non-negative number below 2^64"
        raise ToolError(what, hint=_SIZE_HINT) from error


def _place(given: Given) -> Place:
    """Where to listen: a socket that the program was started with, or else what the options say."""
    inherited = _inherited_count()
    if inherited:
        _check_nothing_else(given)
        if inherited > 1:
            raise ToolError("qemu-nbd does not support socket activation with LISTEN_FDS > 1")
        return InheritedPlace(descriptor=_FIRST_INHERITED)
    path = _socket_path(given)
    if path is not None:
        return UnixPlace(path=path)
    return InetPlace(host=given.last("bind") or _ANYWHERE, port=given.last("port") or str(NBD_PORT))


def _socket_path(given: Given) -> str | None:
    path = given.last("socket")
    if path is not None and not path.startswith("/"):
        raise ToolError("socket path must be absolute")
    return path


def _inherited_count() -> int:
    """How many listening sockets whoever started this process passes it, as systemd does."""
    if os.environ.pop("LISTEN_PID", None) != str(os.getpid()):
        return 0
    count = os.environ.pop("LISTEN_FDS", "")
    return int(count) if count.isdecimal() else 0


_NOT_WITH_INHERITED: Final = {
    "socket": "Unix socket can't be set when using socket activation",
    "bind": "The interface can't be set when using socket activation",
    "port": "TCP port number can't be set when using socket activation",
}


def _check_nothing_else(given: Given) -> None:
    for option, problem in _NOT_WITH_INHERITED.items():
        if given.has(option):
            raise ToolError(problem)
