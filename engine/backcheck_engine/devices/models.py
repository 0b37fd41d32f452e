"""Which models of devices the engine knows, on what bus they go, and which of them have a drive."""

from __future__ import annotations

from typing import Final, NamedTuple


class DeviceModel(NamedTuple):
    """A model of devices."""

    name: str
    bus: str
    """The kind of bus that it goes on."""
    is_disk: bool = False
    """Whether it stands for a drive."""
    backend: str = ""
    """The model of the part of it that has the drive, or the bus, where there is such a part."""
    provides: str = ""
    """The kind of bus that it has for others."""

    @property
    def drive_owner(self) -> str:
        """The model that carries the property `drive`."""
        return self.backend or self.name

    @property
    def is_removable(self) -> bool:
        """Whether its medium can be taken out."""
        return self.name in _REMOVABLE


BACKEND_NAME: Final = "virtio-backend"
"""What the part of a virtio device is called that does not depend on its bus."""

PCI: Final = "PCI"
PCI_EXPRESS: Final = "PCIE"
SCSI: Final = "SCSI"
IDE: Final = "IDE"
USB: Final = "usb-bus"
FLOPPY: Final = "floppy-bus"
VIRTIO: Final = "virtio-bus"
ISA: Final = "ISA"

_FITS_ALSO: Final = {PCI: (PCI_EXPRESS,)}
"""Kinds of bus that take devices of another kind."""

_VIRTIO_BLOCK: Final = "virtio-blk-device"
_REMOVABLE: Final = ("ide-cd", "scsi-cd", "floppy")
_DISKS: Final = (
    DeviceModel("virtio-blk-pci", PCI, True, _VIRTIO_BLOCK),
    DeviceModel("virtio-blk-pci-transitional", PCI, True, _VIRTIO_BLOCK),
    DeviceModel("virtio-blk-pci-non-transitional", PCI, True, _VIRTIO_BLOCK),
    DeviceModel(_VIRTIO_BLOCK, VIRTIO, True),
    DeviceModel("scsi-hd", SCSI, True),
    DeviceModel("scsi-cd", SCSI, True),
    DeviceModel("scsi-block", SCSI, True),
    DeviceModel("ide-hd", IDE, True),
    DeviceModel("ide-cd", IDE, True),
    DeviceModel("nvme", PCI, True),
    DeviceModel("floppy", FLOPPY, True),
    DeviceModel("usb-storage", USB, True),
)
_CONTROLLERS: Final = (
    DeviceModel("virtio-scsi-pci", PCI, backend="virtio-scsi-device", provides=SCSI),
    DeviceModel("virtio-scsi-device", VIRTIO, provides=SCSI),
    *(DeviceModel(name, PCI, provides=SCSI) for name in ("lsi53c895a", "megasas", "pvscsi")),
    *(DeviceModel(name, PCI, provides=IDE) for name in ("piix3-ide", "ahci", "ich9-ahci")),
    *(DeviceModel(name, PCI, provides=USB) for name in ("nec-usb-xhci", "qemu-xhci")),
    DeviceModel("pcie-root-port", PCI, provides=PCI_EXPRESS),
    DeviceModel("pci-bridge", PCI, provides=PCI),
)
_OTHERS: Final = (
    (PCI, "virtio-serial-pci virtio-net-pci virtio-rng-pci virtio-balloon-pci e1000 VGA"),
    (ISA, "isa-debug-exit isa-serial"),
    (VIRTIO, "virtio-serial-device"),
)
_ALIASES: Final = {
    "virtio-blk": "virtio-blk-pci",
    "virtio-scsi": "virtio-scsi-pci",
    "virtio-serial": "virtio-serial-pci",
    "virtio-net": "virtio-net-pci",
    "virtio-rng": "virtio-rng-pci",
    "virtio-balloon": "virtio-balloon-pci",
    "lsi": "lsi53c895a",
}

DEVICE_MODELS: Final = {
    model.name: model
    for model in (*_DISKS, *_CONTROLLERS, *(DeviceModel(name, bus) for bus, names in _OTHERS for name in names.split()))
}


def device_model(name: str) -> DeviceModel | None:
    """The model of that name or alias, or None."""
    return DEVICE_MODELS.get(_ALIASES.get(name, name))


def fits(model: DeviceModel, kind: str) -> bool:
    """Whether a device of the model goes on a bus of that kind."""
    return kind == model.bus or kind in _FITS_ALSO.get(model.bus, ())
