"""The guest's side of a drive: a device that uses a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

_PERIPHERAL: Final = "/machine/peripheral/"


@dataclass(slots=True, kw_only=True)
class GuestDevice:
    """One device of the machine that has a drive."""

    model: str
    path: str
    """Its id, or its path in the machine, as queries and messages tell it."""
    backend: BlockBackend
    is_removable: bool
    tray_open: bool = False
    is_leaving: bool = False
    """Whether the guest was asked to let it go."""

    def is_called(self, name: str) -> bool:
        """Whether a client means this device by `name`, its id or its path."""
        return self.has_drive(name) or self._has_it_below(name)

    def has_drive(self, name: str) -> bool:
        """Whether `name` means that part of this device which has the drive: virtio devices have it in a backend."""
        return name.removeprefix(_PERIPHERAL) == self.path.removeprefix(_PERIPHERAL)

    def _has_it_below(self, name: str) -> bool:
        """Whether `name` means this device, and a part of it has the drive."""
        return self.path.startswith(f"{_PERIPHERAL}{name.removeprefix(_PERIPHERAL)}/")
