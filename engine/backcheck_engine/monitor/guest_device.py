"""The guest's side of a drive: a device that uses a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend


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
        short = name.removeprefix("/machine/peripheral/")
        return short == self.path or self.path.startswith(f"/machine/peripheral/{short}/")
