"""All drivers by name, as text: `block` itself imports none, and a driver's module is loaded when it is first used."""

import errno
import importlib
import os
import stat
from collections.abc import Sequence
from typing import cast

from backcheck_engine.block.driver import Driver
from backcheck_engine.block.filenames import protocol_of
from backcheck_engine.errors import BlockError

_HERE = "backcheck_engine.drivers"

_DRIVERS: dict[str, str] = {
    "backup-top": f"{_HERE}.filter.backup_filter:BackupTopDriver",
    "blkdebug": f"{_HERE}.filter.blkdebug:BlkdebugDriver",
    "copy-on-read": f"{_HERE}.filter.copy_on_read:CopyOnReadDriver",
    "copy-before-write": f"{_HERE}.filter.copy_before_write:CopyBeforeWriteDriver",
    "file": f"{_HERE}.protocol.file:FileDriver",
    "host_device": f"{_HERE}.protocol.host_device:HostDeviceDriver",
    "nbd": f"{_HERE}.protocol.nbd:NbdDriver",
    "null-aio": f"{_HERE}.protocol.null:NullAioDriver",
    "null-co": f"{_HERE}.protocol.null:NullCoDriver",
    "qed": f"{_HERE}.format.header_only.driver:QedDriver",
    "qcow": f"{_HERE}.format.qcow.driver:QcowDriver",
    "qcow2": f"{_HERE}.format.qcow2.driver:Qcow2Driver",
    "raw": f"{_HERE}.format.raw:RawDriver",
    "snapshot-access": f"{_HERE}.filter.snapshot_access:SnapshotAccessDriver",
    "throttle": f"{_HERE}.filter.throttle:ThrottleDriver",
    "vdi": f"{_HERE}.format.header_only.driver:VdiDriver",
    "vhdx": f"{_HERE}.format.header_only.driver:VhdxDriver",
    "vpc": f"{_HERE}.format.header_only.driver:VpcDriver",
    "vmdk": f"{_HERE}.format.vmdk.driver:VmdkDriver",
}

_PROTOCOLS: dict[str, str] = {
    "blkdebug": "blkdebug",
    "file": "file",
    "host_device": "host_device",
    "nbd": "nbd",
    "nbd+tcp": "nbd",
    "nbd+unix": "nbd",
    "null-aio": "null-aio",
    "null-co": "null-co",
}
"""What a filename may start with, and the driver for it."""

ONLY_IN_QEMU = frozenset(["bochs", "cloop", "dmg", "luks", "parallels", "vvfat"])
"""Formats of a QEMU that have no driver here."""

_INTERNAL = ("backup-top",)
"""Not for users to ask for."""


def all_names() -> Sequence[str]:
    """The names of the drivers that a user can ask for."""
    return [name for name in _DRIVERS if name not in _INTERNAL]


def driver_class(name: str) -> type[Driver] | None:
    """The class of the driver `name`, or None when there is no such driver."""
    place = _DRIVERS.get(name)
    if place is None:
        return None
    module, class_name = place.split(":")
    return cast("type[Driver]", getattr(importlib.import_module(module), class_name))


def unknown_driver(name: str) -> BlockError:
    """The error for a driver that there is not: QEMU's, or ours for a format that a QEMU has."""
    if name in ONLY_IN_QEMU:
        return not_implemented(name)
    return BlockError(f"Unknown driver '{name}'", errno.ENOENT)


def not_implemented(name: str, code: int = errno.ENOTSUP) -> BlockError:
    """The error for what would need the data of a format that a QEMU has and the engine has not."""
    return BlockError(f"backcheck-engine does not implement the format '{name}' yet", code)


def driver_name_for(filename: str, *, allow_prefix: bool = True) -> str:
    """The driver that opens `filename`: by its device file, by its protocol prefix, else "file".

    Raises BlockError for a protocol that does not exist.
    """
    if is_device(filename):
        return "host_device"
    protocol = protocol_of(filename) if allow_prefix else None
    if protocol is None:
        return "file"
    if protocol not in _PROTOCOLS:
        raise BlockError(f"Unknown protocol '{protocol}'")
    return _PROTOCOLS[protocol]


def is_device(filename: str) -> bool:
    """Whether `filename` is a block or character device."""
    try:
        mode = os.stat(filename).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
