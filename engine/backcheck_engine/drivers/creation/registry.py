"""Which formats and protocols can make images, with their options; and the words for those that cannot."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.driver_table import driver_class, driver_name_for, is_device
from backcheck_engine.block.filenames import protocol_of
from backcheck_engine.drivers.creation import export as export_creation
from backcheck_engine.drivers.creation import file as file_creation
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, merge_tables
from backcheck_engine.drivers.format.header_only import create as header_only_creation
from backcheck_engine.drivers.format.qcow import create as qcow_creation
from backcheck_engine.drivers.format.qcow2 import create as qcow2_creation
from backcheck_engine.drivers.format.vmdk import create as vmdk_creation
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph

Creator = Callable[["Graph", str, CreateOptions], Awaitable[None]]


async def _create_raw(graph: Graph, filename: str, options: CreateOptions) -> None:
    if _is_there(filename):
        await export_creation.create_from_options(graph, filename, options)
    else:
        await file_creation.create_from_options(filename, options)


_FORMATS: dict[str, tuple[Sequence[CreateOption], Creator]] = {
    "qcow": (qcow_creation.OPTIONS, qcow_creation.create_from_options),
    "qcow2": (qcow2_creation.OPTIONS, qcow2_creation.create_from_options),
    "raw": ((SIZE,), _create_raw),
    "vmdk": (vmdk_creation.OPTIONS, vmdk_creation.create_from_options),
    "file": (file_creation.OPTIONS, _create_raw),
    "nbd": (export_creation.OPTIONS, export_creation.create_from_options),
    **header_only_creation.CREATORS,
}

_SINCE = {"keep_data_file": release.QEMU_11_1, "toolsversion": release.Release("6.2")}
"""Options that not all releases have."""

_NBD = frozenset(["nbd", "nbd+tcp", "nbd+unix"])

_CREATABLE_IN_QEMU = frozenset(
    [
        "parallels",
        "luks",
        "nfs",
        "ssh",
        "rbd",
        "gluster",
        "iscsi",
        "host_device",
    ]
)
"""What QEMU can create images of and the engine cannot."""

_KNOWN_TO_QEMU = _CREATABLE_IN_QEMU | frozenset(
    [
        "bochs",
        "blklogwrites",
        "blkreplay",
        "blkverify",
        "cloop",
        "compress",
        "copy-on-read",
        "dmg",
        "ftp",
        "ftps",
        "host_cdrom",
        "http",
        "https",
        "nbd",
        "null-aio",
        "null-co",
        "nvme",
        "preallocate",
        "quorum",
        "replication",
        "snapshot-access",
        "throttle",
        "vvfat",
        "blkdebug",
    ]
)
"""Names of drivers that a QEMU has."""

_PROTOCOLS_OF_QEMU = frozenset(
    [
        "blkdebug",
        "blkreplay",
        "blkverify",
        "fat",
        "ftp",
        "ftps",
        "host_cdrom",
        "http",
        "https",
        "iscsi",
        "nbd",
        "nbd+tcp",
        "nbd+unix",
        "nfs",
        "null-aio",
        "null-co",
        "nvme",
        "rbd",
        "sheepdog",
        "ssh",
    ]
)


def _not_yet(name: str) -> OptionError:
    return OptionError(f"backcheck-engine does not implement the format '{name}' yet")


def check_names(format_name: str, filename: str) -> None:
    """Refuse a format, then a filename's protocol, of which nobody has heard. What each can do is looked at later."""
    _check_format_name(format_name)
    protocol = _foreign_protocol(filename)
    if protocol is not None and protocol not in _PROTOCOLS_OF_QEMU and driver_class(protocol) is None:
        raise BlockError(f"Unknown protocol '{protocol}'", errno.EINVAL)


def format_creator(name: str) -> tuple[Sequence[CreateOption], Creator]:
    """The options and the function of a format. Raises in QEMU's words for one that cannot be created."""
    _check_format_name(name)
    if name in _FORMATS:
        return _FORMATS[name]
    if name in _CREATABLE_IN_QEMU:
        raise _not_yet(name)
    raise BlockError(f"Format driver '{name}' does not support image creation", errno.EINVAL)


def is_on_server(filename: str) -> bool:
    """Whether a filename is that of an export of an NBD server."""
    return _foreign_protocol(filename) in _NBD


def _is_there(filename: str) -> bool:
    """Whether a filename names something that cannot be made: an export, or a device."""
    return is_on_server(filename) or driver_name_for(filename) == "host_device"


def check_protocol(filename: str) -> None:
    """Refuse a filename whose protocol can neither create files nor do with what is there."""
    protocol = _foreign_protocol(filename)
    if protocol is not None and protocol not in _NBD:
        raise BlockError(f"Protocol driver '{protocol}' does not support image creation", errno.EINVAL)


def is_known_format(name: str) -> bool:
    """Whether a QEMU has a driver of that name, whatever it can do."""
    return driver_class(name) is not None or name in _KNOWN_TO_QEMU


def _check_format_name(name: str) -> None:
    if not is_known_format(name):
        raise BlockError(f"Unknown file format '{name}'", errno.EINVAL)


def _foreign_protocol(filename: str) -> str | None:
    """The protocol of a filename, None for one of the host's files."""
    protocol = None if is_device(filename) else protocol_of(filename)
    return None if protocol in ("file", "host_device") else protocol


def create_options(format_name: str, filename: str | None = None) -> tuple[CreateOption, ...]:
    """The options for creating an image: the format's, and with a filename also its protocol's."""
    table, _ = format_creator(format_name)
    now = release.current()
    table = [option for option in table if now >= _SINCE.get(option.name, now)]
    if filename is None:
        return tuple(table)
    check_protocol(filename)
    return merge_tables(table, export_creation.OPTIONS if _is_there(filename) else file_creation.OPTIONS)
