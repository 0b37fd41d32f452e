"""Taking devices and drives out of the running machine: `device_del`, and `drive_del` of the human monitor.

A device on a SCSI or USB bus is gone at once. One on a PCI bus waits for the guest's consent, which never comes here;
it goes when the machine is reset.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.block.blockers import Operation
from backcheck_engine.block.iothread import move_backend
from backcheck_engine.devices.bus import TAKEN_AT_ONCE
from backcheck_engine.devices.models import PCI, VIRTIO
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.block_job import BlockJob
from backcheck_engine.monitor.device_lookup import no_such_device
from backcheck_engine.monitor.registry import command
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.devices.device import Device
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDel:
    """Arguments of `device_del`."""

    id: str


@command("device_del", DeviceDel)
async def device_del(context: Context, arguments: DeviceDel) -> JsonValue:
    """Unplug a device, or ask the guest to let it go."""
    device = context.devices.find(arguments.id)
    if device is None:
        if context.devices.find_backend(arguments.id) is not None:
            raise BlockError(f"Bus '{VIRTIO}' does not support hotplugging")
        raise no_such_device(arguments.id)
    if not device.bus.takes_hotplug:
        raise BlockError(f"Bus '{device.bus.name}' does not support hotplugging")
    if device.bus.kind in TAKEN_AT_ONCE:
        await _remove(context, device)
    elif device.is_leaving and (context.release >= QEMU_7_2 or device.bus.kind != PCI):
        raise BlockError(f"Device {arguments.id} is already in the process of unplug")
    device.is_leaving = True
    return {}


async def remove_leaving(context: Context) -> None:
    """The machine is reset: what the guest was asked to let go is gone. Slots of their own know this since 6.1."""
    for device in [device for device in context.devices if device.is_leaving]:
        if context.release >= QEMU_7_2 or device.bus.kind == PCI:
            await _remove(context, device)


async def _remove(context: Context, device: Device) -> None:
    """The device goes, what is on its bus before it, and with it a drive that was made for it, and the jobs on that."""
    if device.own_bus is not None:
        for below in list(device.own_bus.devices):
            await _remove(context, below)
    backend = device.guest.backend if device.guest is not None else None
    if backend is not None and backend.name and backend.node is not None:
        await _cancel_jobs(context, backend.node)
    context.devices.forget(device)
    if backend is not None:
        # Where another device shares the node, it stays with that.
        with contextlib.suppress(BlockError):
            move_backend(backend, None)
        await backend.close()
    if device.backend_path != device.path:
        context.emit("DEVICE_DELETED", {"path": device.backend_path})
    named: JsonObject = {} if device.name is None else {"device": device.name}
    context.emit("DEVICE_DELETED", {**named, "path": device.path})


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
