"""How clients name a device: by the id of its drive, or by the id or path of the guest's device that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.errors import QmpError

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.devices.guest_device import GuestDevice
    from backcheck_engine.monitor.context import Context


def find_backend(context: Context, device: str | None, identity: str | None) -> BlockBackend:
    """The backend called `device`, or that of the guest's device `identity`. Raises QmpError."""
    if (device is None) == (identity is None):
        raise QmpError.generic("Need exactly one of 'device' and 'id'")
    if device is not None:
        found = context.graph.backends.get(device)
    else:
        return find_guest_backend(context, str(identity))
    if found is None:
        raise no_such_device(device)
    return found


def find_guest_backend(context: Context, identity: str) -> BlockBackend:
    """The backend of the guest's device of that id or path. Raises QmpError."""
    device = context.devices.find(identity) or context.devices.find_backend(identity)
    if device is None:
        raise no_such_device(identity)
    if device.guest is None or (device.model.backend and context.devices.find_backend(identity) is not device):
        raise QmpError.generic("Device does not have a block device backend")
    return device.guest.backend


def find_guest(context: Context, backend: BlockBackend) -> GuestDevice | None:
    """The guest's device that uses a backend, if there is one."""
    return next((guest for guest in context.guests if guest.backend is backend), None)


def no_such_device(name: str) -> QmpError:
    """What a client hears of a device that is not there."""
    return QmpError("DeviceNotFound", f"Device '{name}' not found")
