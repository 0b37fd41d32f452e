"""Buses: those that a machine has, and those that devices bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from backcheck_engine.devices.models import FLOPPY, IDE, ISA, PCI, PCI_EXPRESS, SCSI, USB, VIRTIO
from backcheck_engine.errors import BlockError
from backcheck_engine.release import QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.devices.device import Device
    from backcheck_engine.release import Release

TAKEN_AT_ONCE: Final = (SCSI, USB)
"""Kinds of bus from which a device goes when it is told to; elsewhere the guest has to agree."""
_HOTPLUG_KINDS: Final = (*TAKEN_AT_ONCE, PCI)


@dataclass(slots=True, kw_only=True)
class Bus:
    """One bus, and what is on it."""

    name: str
    kind: str
    takes_hotplug: bool
    owner: Device | None = None
    """The device that brought it; the machine's own have none."""
    units: int = 0
    """How many devices it takes; 0 is as many as there are."""
    devices: list[Device] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Its place among the machine's objects."""
        above = self.owner.backend_path if self.owner is not None else _HOSTS.get(self.name, "/machine")
        return f"{above}/{self.name}"

    @property
    def iothread(self) -> str | None:
        """The iothread in which its controller works."""
        name = self.owner.properties.get("iothread") if self.owner is not None and self.kind == SCSI else None
        return str(name).rpartition("/")[2] if name else None

    def check_place(self, device: Device, release: Release) -> None:
        """Raise BlockError in QEMU's words when there is no place for another device."""
        if not self.units or len(self.devices) < self.units:
            return
        if self.kind == IDE:
            raise BlockError(f"Can't create IDE unit {len(self.devices)}, bus supports only {self.units} units")
        if release >= QEMU_10_0:
            raise BlockError(
                f"PCI: slot 0 function 0 already occupied by {self.devices[0].model.name}, "
                f"new func {device.model.name} cannot be exposed to guest."
            )


_HOSTS: Final = {"pci.0": "/machine/i440fx", "pcie.0": "/machine/q35"}
_PC_BUSES: Final = ((PCI, "pci.0", 0), (IDE, "ide.1", 2), (IDE, "ide.0", 2), (FLOPPY, "floppy-bus.0", 0))
_Q35_BUSES: Final = ((PCI_EXPRESS, "pcie.0", 0), *((IDE, f"ide.{number}", 1) for number in range(5, -1, -1)))
_ISA_BUSES: Final = ((IDE, "ide.1", 2), (IDE, "ide.0", 2), (FLOPPY, "floppy-bus.0", 0))
_MICROVM_BUSES: Final = ((VIRTIO, "virtio-mmio-bus.0", 0),)


def machine_buses(machine: str) -> list[Bus]:
    """The buses of a machine, in the order in which they are looked at for a device that names none."""
    if machine == "none":
        return []
    if "q35" in machine:
        buses = _Q35_BUSES
    elif machine in ("isapc", "microvm"):
        buses = _ISA_BUSES if machine == "isapc" else _MICROVM_BUSES
    else:
        buses = _PC_BUSES
    return [
        Bus(name=name, kind=kind, units=units, takes_hotplug=kind in _HOTPLUG_KINDS)
        for kind, name, units in (*buses, (ISA, "isa.0", 0))
    ]


def bus_of(owner: Device, number: int) -> Bus | None:
    """The bus that a device brings; `number` counts those of its kind that have no name of their own."""
    kind = owner.model.provides
    if not kind:
        return None
    is_port = kind in (PCI, PCI_EXPRESS)
    named = (owner.name if is_port else f"{owner.name}.0") if owner.name else f"{kind.lower()}.{number}"
    return Bus(
        name=named,
        kind=kind,
        owner=owner,
        units=1 if kind == PCI_EXPRESS else 0,
        takes_hotplug=kind in (*_HOTPLUG_KINDS, PCI_EXPRESS),
    )
