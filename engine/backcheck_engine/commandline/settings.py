"""What a command line asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from backcheck_engine.json_value import JsonObject
from backcheck_engine.monitor.endpoint import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketCharacters:
    """A socket, as server or as client."""

    address: Address
    server: bool = False
    wait: bool = True


class OtherCharacters(Enum):
    """Character devices that are no socket."""

    STDIO = "stdio"
    NULL = "null"


Characters: TypeAlias = SocketCharacters | OtherCharacters


class MonitorMode(Enum):
    """What a monitor speaks."""

    CONTROL = "control"
    READLINE = "readline"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """One monitor."""

    characters: Characters
    mode: MonitorMode
    pretty: bool = False
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevSettings:
    """One -blockdev: a BlockdevOptions tree, checked."""

    tree: JsonObject
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSettings:
    """One -drive."""

    name: str
    interface: str
    options: JsonObject
    """What the nodes are opened with, flat; without `file` and `driver` there is no medium."""
    filename: str | None
    has_medium: bool
    read_only: bool
    writeback: bool
    is_cdrom: bool
    on_write_error: str
    on_read_error: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """One -device."""

    driver: str
    properties: dict[str, str]
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSettings:
    """One -object."""

    type_name: str
    name: str
    properties: JsonObject
    location: str


@dataclass(slots=True, kw_only=True)
class Settings:
    """All of a command line."""

    program: str
    machine: str = "pc"
    paused: bool = False
    name: str | None = None
    uuid: str | None = None
    daemonize: bool = False
    pidfile: str | None = None
    deprecated_input: str = "accept"
    unstable_input: str = "accept"
    monitors: list[MonitorSettings] = field(default_factory=list)
    blockdevs: list[BlockdevSettings] = field(default_factory=list)
    drives: list[DriveSettings] = field(default_factory=list)
    devices: list[DeviceSettings] = field(default_factory=list)
    objects: list[ObjectSettings] = field(default_factory=list)
    idle_characters: list[Characters] = field(default_factory=list)
    """Character devices that no monitor uses."""
    warnings: list[str] = field(default_factory=list)
    """Printed on standard error, in order, before anything is opened."""
