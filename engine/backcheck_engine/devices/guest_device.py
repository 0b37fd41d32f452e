"""The guest's side of a drive: what uses its backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend


@dataclass(slots=True, kw_only=True)
class GuestDevice:
    """The part of a device that has a drive."""

    path: str
    """Its id, or its path in the machine, as queries and messages tell it."""
    backend: BlockBackend
    is_removable: bool
    tray_open: bool = False
