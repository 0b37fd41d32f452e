"""One device of the guest's machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine.devices.models import BACKEND_NAME

if TYPE_CHECKING:
    from backcheck_engine.devices.bus import Bus
    from backcheck_engine.devices.guest_device import GuestDevice
    from backcheck_engine.devices.models import DeviceModel
    from backcheck_engine.json_value import JsonObject

NAMED: Final = "/machine/peripheral"
NAMELESS: Final = "/machine/peripheral-anon"


@dataclass(slots=True, kw_only=True, eq=False)
class Device:
    """A device that is plugged in, or about to be."""

    model: DeviceModel
    name: str | None
    """Its id."""
    path: str
    """Its place among the machine's objects."""
    bus: Bus
    properties: JsonObject
    """Those that were given, each in its own type."""
    is_hotplugged: bool
    own_bus: Bus | None = None
    """The bus that it brings."""
    guest: GuestDevice | None = None
    """What uses its drive, if it is a disk."""
    is_leaving: bool = False
    """Whether the guest was asked to let it go."""

    @property
    def backend_path(self) -> str:
        """The place of the part that has the drive, or the bus: the device itself, unless it has such a part."""
        return f"{self.path}/{BACKEND_NAME}" if self.model.backend else self.path

    @property
    def shown_name(self) -> str:
        """How the part with the drive is told: by the device's id, where the device itself has it."""
        return self.backend_path if self.model.backend else self.name or self.path
