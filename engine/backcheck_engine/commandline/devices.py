"""Which machines and devices the engine knows, and how a device that has a drive reaches it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MACHINES: Final = (
    ("none", "empty machine"),
    ("pc", "accepted; its block devices work"),
    ("q35", "accepted; its block devices work"),
    ("microvm", "accepted; its block devices work"),
)
_MACHINE: Final = re.compile(r"none|microvm|isapc|(?:pc|q35|x-remote)|pc-(?:i440fx|q35)-\d+\.\d+")

ACCELERATORS: Final = ("tcg", "kvm")
KNOWN_ACCELERATORS: Final = (*ACCELERATORS, "qtest", "xen", "hax", "hvf", "whpx", "nvmm", "mshv", "nitro")


class DeviceModel(NamedTuple):
    """A model: the kind of bus that it needs, and whether it stands for a drive."""

    name: str
    bus: str
    is_disk: bool = False
    drive_owner: str = ""
    """The model that carries the property `drive`, where it is another."""
    child: str = ""
    """The part of the device that uses the drive, as its path in the machine ends."""

    @property
    def provides_scsi(self) -> bool:
        """Whether disks of the bus SCSI can be put on it."""
        return self.name in _SCSI_CONTROLLERS


_DISKS: Final = (
    DeviceModel("virtio-blk-pci", "PCI", True, "virtio-blk-device", "virtio-backend"),
    DeviceModel("virtio-blk-pci-transitional", "PCI", True, "virtio-blk-device", "virtio-backend"),
    DeviceModel("virtio-blk-pci-non-transitional", "PCI", True, "virtio-blk-device", "virtio-backend"),
    DeviceModel("virtio-blk-device", "virtio-bus", True),
    DeviceModel("scsi-hd", "SCSI", True),
    DeviceModel("scsi-cd", "SCSI", True),
    DeviceModel("scsi-block", "SCSI", True),
    DeviceModel("ide-hd", "IDE", True),
    DeviceModel("ide-cd", "IDE", True),
    DeviceModel("nvme", "PCI", True),
    DeviceModel("floppy", "floppy-bus", True),
    DeviceModel("usb-storage", "usb-bus", True),
)
_OTHERS: Final = (
    (
        "PCI",
        "virtio-scsi-pci virtio-serial-pci virtio-net-pci virtio-rng-pci virtio-balloon-pci pcie-root-port pci-bridge "
        "e1000 VGA piix3-ide ahci ich9-ahci lsi53c895a megasas nec-usb-xhci qemu-xhci pvscsi",
    ),
    ("ISA", "isa-debug-exit isa-serial"),
    ("virtio-bus", "virtio-scsi-device virtio-serial-device"),
)
_DISK_PROPERTIES: Final = """
    account-failed account-invalid acpi-index addr backend_defaults bootindex bus channel
    command_serr_enable config-wce detect_zeroes device_id discard discard_granularity disable-legacy
    disable-modern drive failover_pair_id id iothread iothread-vq-mapping ioeventfd iommu_platform
    logical_block_size lun max-discard-sectors max-write-zeroes-sectors max_ioqpairs mdts min_io_size
    model multifunction num-queues opt_io_size packed page-per-vq physical_block_size port port_index
    product queue-size queue_reset queues quirks removable report-discard-granularity request-merging
    rerror romfile rombar rotation_rate scsi scsi_version scsi-id seg-max-adjust serial share-rw unit
    vectors vendor ver werror write-cache write-zeroes wwn cyls heads secs drive-type event_idx
    indirect_desc max_transfer_size max_io_size max_unmap_size dpofua x-disable-pcie x-pcie-lnksta-dllla
"""
_SCSI_CONTROLLERS: Final = ("virtio-scsi-pci", "virtio-scsi-device", "lsi53c895a", "megasas", "pvscsi")
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
    for model in (*_DISKS, *(DeviceModel(name, bus) for bus, names in _OTHERS for name in names.split()))
}


def is_machine(name: str) -> bool:
    return bool(_MACHINE.fullmatch(name))


def has_property(model: DeviceModel, name: str) -> bool:
    """Whether a device takes a property; of those without a drive all are accepted."""
    return not model.is_disk or name in _DISK_PROPERTIES.split()


def device_model(name: str) -> DeviceModel | None:
    """The model of that name or alias, or None."""
    return DEVICE_MODELS.get(_ALIASES.get(name, name))
