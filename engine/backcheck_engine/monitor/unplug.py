"""Taking devices and drives out of the running machine: `device_del`, and `drive_del` of the human monitor.

A device on a SCSI or USB bus is gone at once. One on a PCI bus waits for the guest's consent, which never comes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.blockers import Operation
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.block_job import BlockJob
from backcheck_engine.monitor.device_lookup import no_such_device
from backcheck_engine.monitor.registry import command
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.guest_device import GuestDevice

_LEAVES_AT_ONCE: Final = ("scsi-", "usb-")
_STAYS_FOR_EVER: Final = {"ide-": "ide.0", "floppy": "floppy-bus.0"}
"""Models whose bus, named as the machine names the first of its kind, lets no device go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDel:
    """Arguments of `device_del`."""

    id: str


@command("device_del", DeviceDel)
async def device_del(context: Context, arguments: DeviceDel) -> JsonValue:
    """Unplug a device, or ask the guest to let it go."""
    guest = next((guest for guest in context.guests if guest.is_called(arguments.id)), None)
    if guest is None:
        raise no_such_device(arguments.id)
    bus = next((bus for prefix, bus in _STAYS_FOR_EVER.items() if guest.model.startswith(prefix)), None)
    if bus is not None:
        raise BlockError(f"Bus '{bus}' does not support hotplugging")
    if guest.model.startswith(_LEAVES_AT_ONCE):
        await _remove(context, guest, arguments.id)
    elif guest.is_leaving and context.release >= QEMU_7_2:
        raise BlockError(f"Device {arguments.id} is already in the process of unplug")
    guest.is_leaving = True
    return {}


async def _remove(context: Context, guest: GuestDevice, identity: str) -> None:
    """The device goes, and with it a drive that was made for it, and the jobs on that."""
    backend = guest.backend
    if backend.name and backend.node is not None:
        await _cancel_jobs(context, backend.node)
    context.guests.remove(guest)
    await backend.close()
    context.emit("DEVICE_DELETED", {"device": identity, "path": f"/machine/peripheral/{identity}"})


async def _cancel_jobs(context: Context, node: Node) -> None:
    for job in context.jobs:
        if isinstance(job, BlockJob) and job.uses(node):
            await context.jobs.cancel(job)


async def drive_del(context: Context, name: str) -> None:
    """Take the medium out of a drive and forget its name; a node of the monitor's is deleted. Raises EngineError."""
    if name in context.graph.nodes:
        from backcheck_engine.monitor.block import BlockdevDel, blockdev_del

        await blockdev_del(context, BlockdevDel(node_name=name))
        return
    backend = context.graph.backends.get(name)
    if backend is None:
        raise no_such_device(name)
    if backend.node is not None:
        backend.node.blockers.check(Operation.DRIVE_DEL, backend.node.device_or_node_name)
    await backend.close()
    # A guest's device may go on using it, as a drive without a name.
    backend.name = ""
    backend.has_io_status = False
