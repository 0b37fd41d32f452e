"""`blockdev-create`: images by QAPI's options, on nodes that are open already."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from backcheck_engine.drivers.creation import file as file_creation
from backcheck_engine.drivers.format.qcow import create as qcow_creation
from backcheck_engine.drivers.format.qcow2 import create as qcow2_creation
from backcheck_engine.drivers.format.vmdk import create as vmdk_creation
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.json_value import JsonObject


async def _create_file(graph: Graph, options: JsonObject) -> None:
    await file_creation.create_from_qapi(options)


_CREATORS: dict[str, Callable[[Graph, JsonObject], Awaitable[None]]] = {
    "file": _create_file,
    "qcow": qcow_creation.create_from_qapi,
    "qcow2": qcow2_creation.create_from_qapi,
    "vmdk": vmdk_creation.create_from_qapi,
}

_CREATABLE_IN_QEMU = frozenset(["gluster", "luks", "nfs", "parallels", "qed", "rbd", "ssh", "vdi", "vhdx", "vpc"])


def check_blockdev_create(options: JsonObject) -> None:
    """Refuse, before there is a job, a driver that cannot create images. Raises in QEMU's words."""
    name = str(options.get("driver"))
    if name in _CREATORS:
        return
    if name in _CREATABLE_IN_QEMU:
        raise OptionError(f"backcheck-engine does not implement the format '{name}' yet")
    raise BlockError("Driver does not support blockdev-create", errno.ENOTSUP)


async def blockdev_create(graph: Graph, options: JsonObject) -> None:
    """Make the image that BlockdevCreateOptions describe. Raises BlockError or OptionError in QEMU's words."""
    check_blockdev_create(options)
    await _CREATORS[str(options["driver"])](graph, options)
