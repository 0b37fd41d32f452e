"""What a command line asks for.

Small records here and nearby are named tuples: each dataclass costs the start of the program a millisecond or two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from backcheck_engine.address import Address
from backcheck_engine.json_value import JsonObject
from backcheck_engine.qapi.policy import InputPolicy

if TYPE_CHECKING:
    from backcheck_engine.commandline.drives import DriveSettings


class SocketCharacters(NamedTuple):
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


class CharactersSettings(NamedTuple):
    """A character device, and the option that asks for it."""

    characters: Characters
    location: str


class MonitorSettings(NamedTuple):
    """One monitor."""

    device: CharactersSettings
    mode: MonitorMode
    pretty: bool = False


class BlockdevSettings(NamedTuple):
    """One -blockdev: a BlockdevOptions tree, checked."""

    tree: JsonObject
    location: str


class DeviceSettings(NamedTuple):
    """One -device."""

    driver: str
    properties: JsonObject
    location: str
    is_json: bool
    """Whether it was written as JSON."""


class ObjectSettings(NamedTuple):
    """One -object."""

    type_name: str
    name: str
    properties: JsonObject
    location: str


@dataclass(slots=True, kw_only=True)
class TraceSettings:
    """-trace, -D, and -d and -msg as far as they are about it."""

    patterns: list[str] = field(default_factory=list)
    """Names and patterns of events; one that begins with `-` is to be off."""
    has_timestamps: bool = False
    log_file: str | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the command line says anything about it."""
        return bool(self.patterns or self.has_timestamps or self.log_file is not None)


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
    input_policy: InputPolicy = InputPolicy()  # noqa: RUF009 - a named tuple, which cannot change
    monitors: list[MonitorSettings] = field(default_factory=list)
    blockdevs: list[BlockdevSettings] = field(default_factory=list)
    drives: list[DriveSettings] = field(default_factory=list)
    devices: list[DeviceSettings] = field(default_factory=list)
    objects: list[ObjectSettings] = field(default_factory=list)
    trace: TraceSettings = field(default_factory=TraceSettings)
    idle_characters: list[CharactersSettings] = field(default_factory=list)
    """Character devices that no monitor uses."""
