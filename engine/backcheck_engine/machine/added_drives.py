"""Drives that are added while the machine runs, written as -drive writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backcheck_engine.commandline.drives import INTERFACES, parse_drive
from backcheck_engine.commandline.syntax import parse_flat
from backcheck_engine.errors import BlockError, DriveTextError, OptionError
from backcheck_engine.machine.start_devices import Drives
from backcheck_engine.monitor.block import add_node

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context

_NO_INTERFACE: Final = "none"


async def add_drive(context: Context, text: str) -> None:
    """A drive that no device has yet. Raises EngineError in QEMU's words."""
    try:
        drive = parse_drive(text, "")
    except OptionError as error:
        wrong = DriveTextError(error.message)
        wrong.hint = error.hint
        raise wrong from error
    if drive.name in context.graph.backends:
        raise DriveTextError(f"Duplicate ID '{drive.name}' for drive")
    if drive.filename is None and "driver" not in drive.options and drive.has_medium:
        raise BlockError("Must specify either driver or file")
    if drive.interface not in ("", _NO_INTERFACE):
        raise OptionError(f"Can't hot-add drive to type {INTERFACES.index(drive.interface)}")
    await Drives(context, _NO_INTERFACE).add(drive)


async def add_drive_node(context: Context, text: str) -> None:
    """A node, as `blockdev-add` makes it. Raises EngineError in QEMU's words."""
    options: JsonObject = {item.key: item.value for item in parse_flat(text)}
    if "node-name" not in options:
        raise OptionError("'node-name' needs to be specified")
    await add_node(context.graph, options)
