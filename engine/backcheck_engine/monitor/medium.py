"""Commands that take the medium out of a device: `eject` and `blockdev-open-tray`.

A drive that no device of the guest uses has no tray, and gives its medium to whoever asks. Of the guest's devices only
those for removable media do; they open their tray first, and tell so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.block.blockers import Operation
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.device_lookup import find_backend, find_guest
from backcheck_engine.monitor.registry import command

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumArguments:
    """Arguments of `eject` and `blockdev-open-tray`. No guest here locks its tray, so that nothing has to be forced."""

    device: str | None = None
    id: str | None = None
    force: bool = False

    @property
    def shown_name(self) -> str:
        """How messages call the device."""
        return str(self.device if self.device is not None else self.id)


@command("eject", MediumArguments)
async def eject(context: Context, arguments: MediumArguments) -> JsonValue:
    """Open the tray and take the medium out."""
    backend = _open_tray(context, arguments)
    if backend.node is not None:
        backend.node.blockers.check(Operation.EJECT, backend.node.device_or_node_name)
        await backend.remove()
    return {}


@command("blockdev-open-tray", MediumArguments)
async def blockdev_open_tray(context: Context, arguments: MediumArguments) -> JsonValue:
    """Open the tray, if there is one."""
    _open_tray(context, arguments)
    return {}


def _open_tray(context: Context, arguments: MediumArguments) -> BlockBackend:
    """The device, its tray open. Raises EngineError when there is none, or when its medium cannot be removed."""
    backend = find_backend(context, arguments.device, arguments.id)
    guest = find_guest(context, backend)
    if guest is None:
        return backend
    if not guest.is_removable:
        raise BlockError(f"Device '{arguments.shown_name}' is not removable")
    if not guest.tray_open:
        guest.tray_open = True
        context.emit("DEVICE_TRAY_MOVED", {"device": backend.name, "tray-open": True, "id": guest.path})
    return backend
