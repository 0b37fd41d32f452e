"""-drive, the old way to describe a disk: options of the device, of the backend and of the nodes, all in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from backcheck_engine.commandline.syntax import Item, check_identifier, parse_flat, small_number
from backcheck_engine.errors import OptionError
from backcheck_engine.json_value import JsonObject

INTERFACES: Final = ("none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen")

_CACHE_MODES: Final[dict[str, tuple[bool, bool, bool]]] = {
    "none": (True, True, False),
    "off": (True, True, False),
    "directsync": (False, True, False),
    "writeback": (True, False, False),
    "unsafe": (True, False, True),
    "writethrough": (False, False, False),
}
"""cache= as (writeback, direct, no-flush)."""

_RENAMED: Final = {
    "readonly": "read-only",
    "iops": "throttling.iops-total",
    "iops_rd": "throttling.iops-read",
    "iops_wr": "throttling.iops-write",
    "bps": "throttling.bps-total",
    "bps_rd": "throttling.bps-read",
    "bps_wr": "throttling.bps-write",
    "iops_max": "throttling.iops-total-max",
    "iops_rd_max": "throttling.iops-read-max",
    "iops_wr_max": "throttling.iops-write-max",
    "bps_max": "throttling.bps-total-max",
    "bps_rd_max": "throttling.bps-read-max",
    "bps_wr_max": "throttling.bps-write-max",
    "iops_size": "throttling.iops-size",
    "group": "throttling.group",
}
_OF_AN_EMPTY_DRIVE: Final = ("read-only", "auto-read-only")
_OF_THE_DEVICE: Final = ("if", "index", "bus", "unit", "id", "media", "snapshot", "werror", "rerror", "copy-on-read")
_IGNORED: Final = ("stats-account-invalid", "stats-account-failed")
_WRITE_ACTIONS: Final = ("ignore", "stop", "report", "enospc")
_READ_ACTIONS: Final = ("ignore", "stop", "report")
_THROTTLING: Final = "throttling."
_TRUE: Final = ("on", "yes", "true", "y")
_FALSE: Final = ("off", "no", "false", "n")


class DrivePlace(NamedTuple):
    """Where on its interface a drive wants to be, as far as it says."""

    position: int | None = None
    """Counted through the buses (index=)."""
    bus: int | None = None
    unit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSettings:
    """One -drive."""

    name: str
    interface: str
    """'' is the machine's default."""
    place: DrivePlace
    options: JsonObject
    """What the nodes are opened with, flat."""
    filename: str | None
    has_medium: bool
    writeback: bool
    is_cdrom: bool
    detect_zeroes: str
    copies_on_read: bool
    """Whether what is read from a backing is stored in the drive's own image."""
    limits: dict[str, int]
    """Of its requests, as ThrottleLimits of QAPI."""
    throttle_group: str | None
    location: str


def parse_drive(text: str, location: str, *, implied: tuple[tuple[str, str], ...] = ()) -> DriveSettings:
    """One -drive; `implied` are the items that -hda and its like add. Raises OptionError in QEMU's words."""
    items = [Item(*pair) for pair in implied] + parse_flat(text)
    options: JsonObject = {_RENAMED.get(item.key, item.key): item.value for item in items}
    for old, new in _RENAMED.items():
        if {old, new} <= {item.key for item in items}:
            raise OptionError(f"'{new}' and its alias '{old}' can't be used at the same time")
    if "id" in options:
        check_identifier(str(options["id"]))
    of_device: dict[str, str] = {key: str(options.pop(key)) for key in _OF_THE_DEVICE if key in options}
    for key in _IGNORED:
        options.pop(key, None)
    interface = _one_of(of_device.get("if"), INTERFACES, "unsupported bus type '{}'") or ""
    is_cdrom = _one_of(of_device.get("media"), ("disk", "cdrom"), "'{}' invalid media") == "cdrom"
    write_back = _take_cache(options)
    _take_format(options)
    _check_enumerations(options)
    _refuse(of_device, options)
    if is_cdrom:
        options["read-only"] = "on"
    limits, throttle_group = _take_limits(options)
    filename = str(options.pop("file", "")) or None
    detect_zeroes = str(options.pop("detect-zeroes", "off"))
    # What a machine does about its guest's errors; no guest runs, so that it has only to be well said.
    _one_of(of_device.get("werror"), _WRITE_ACTIONS, "'{}' invalid write error action")
    _one_of(of_device.get("rerror"), _READ_ACTIONS, "'{}' invalid read error action")
    return DriveSettings(
        name=of_device.get("id", ""),
        interface=interface,
        options=options,
        filename=filename,
        has_medium=filename is not None or any(key not in _OF_AN_EMPTY_DRIVE for key in options),
        place=_place(of_device),
        writeback=write_back,
        is_cdrom=is_cdrom,
        detect_zeroes=detect_zeroes,
        copies_on_read=_is_on("copy-on-read", of_device),
        limits=limits,
        throttle_group=throttle_group,
        location=location,
    )


def _one_of(value: str | None, choices: tuple[str, ...], problem: str) -> str | None:
    if value is not None and value not in choices:
        raise OptionError(problem.format(value))
    return value


def _take_cache(options: JsonObject) -> bool:
    """Turn cache= into the nodes' options; whether the backend writes back."""
    mode = options.pop("cache", None)
    writeback = str(options.pop("cache.writeback", "on")) in _TRUE
    if mode is None:
        return writeback
    if mode not in _CACHE_MODES:
        raise OptionError("invalid cache option")
    writeback, direct, no_flush = _CACHE_MODES[str(mode)]
    options.setdefault("cache.direct", direct)
    options.setdefault("cache.no-flush", no_flush)
    return writeback


def _take_format(options: JsonObject) -> None:
    format_name = options.pop("format", None)
    if format_name is None:
        return
    if "driver" in options:
        raise OptionError("Cannot specify both 'driver' and 'format'")
    options["driver"] = format_name


def _check_enumerations(options: JsonObject) -> None:
    if options.get("aio", "threads") not in ("threads", "native", "io_uring"):
        raise OptionError("invalid aio option")
    if options.pop("aio", None) == "native" and str(options.get("cache.direct")) not in ("True", *_TRUE):
        raise OptionError("aio=native was specified, but it requires cache.direct=on, which was not specified.")
    if options.get("discard", "ignore") not in ("ignore", "off", "unmap", "on"):
        raise OptionError("Invalid discard option")
    if options.get("detect-zeroes", "off") not in ("off", "on", "unmap"):
        raise OptionError(f"invalid parameter value: {options['detect-zeroes']}")


def _refuse(of_device: dict[str, str], options: JsonObject) -> None:
    """What QEMU does and the engine does not: refused, because ignoring it would show."""
    if of_device.get("snapshot") in _TRUE:
        raise OptionError("backcheck-engine does not implement snapshot=on")


def _is_on(key: str, options: dict[str, str]) -> bool:
    value = options.get(key, "off")
    if value not in (*_TRUE, *_FALSE):
        raise OptionError(f"Parameter '{key}' expects 'on' or 'off'")
    return value in _TRUE


def _take_limits(options: JsonObject) -> tuple[dict[str, int], str | None]:
    """The options `throttling.*`: limits, and the group that shares them."""
    given = {key: str(options.pop(key)) for key in list(options) if key.startswith(_THROTTLING)}
    group = given.pop(f"{_THROTTLING}group", None)
    for key, value in given.items():
        if not value.isdecimal():
            raise OptionError(f"Parameter '{key}' expects a number")
    return {key.removeprefix(_THROTTLING): int(value) for key, value in given.items()}, group


def _place(of_device: dict[str, str]) -> DrivePlace:
    numbers = {}
    for key in ("index", "bus", "unit"):
        if key in of_device:
            number = small_number(of_device[key])
            if number is None:
                raise OptionError(f"Parameter '{key}' expects a number")
            numbers[key] = number
    if "index" in numbers and len(numbers) > 1 and any(numbers[key] for key in numbers if key != "index"):
        raise OptionError("index cannot be used with bus and unit")
    return DrivePlace(numbers.get("index"), numbers.get("bus"), numbers.get("unit"))
