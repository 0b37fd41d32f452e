"""Commands of the human monitor about devices and their media."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.errors import DriveTextError, EngineError
from backcheck_engine.monitor.hmp_line import error_text
from backcheck_engine.monitor.medium import MediumArguments
from backcheck_engine.monitor.medium import eject as eject_medium
from backcheck_engine.monitor.unplug import DeviceDel
from backcheck_engine.monitor.unplug import device_del as unplug_device
from backcheck_engine.monitor.unplug import drive_del as delete_drive
from backcheck_engine.release import QEMU_11_1

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments


async def device_add(context: Context, arguments: HmpArguments) -> str:
    context.add_device(context, arguments.texts["device"])
    return ""


async def device_del(context: Context, arguments: HmpArguments) -> str:
    await unplug_device(context, DeviceDel(id=arguments.texts["id"]))
    return ""


async def drive_add(context: Context, arguments: HmpArguments) -> str:
    """A drive, or with -n a node; its errors had no prefix until 11.1, and those of the text have none yet."""
    add = context.add_drive_node if "node" in arguments.flags else context.add_drive
    try:
        await add(context, arguments.texts["opts"])
    except EngineError as error:
        if context.release >= QEMU_11_1 and not isinstance(error, DriveTextError):
            raise
        return error_text(error)
    return "" if "node" in arguments.flags else "OK\n"


async def drive_del(context: Context, arguments: HmpArguments) -> str:
    """Its errors had no prefix until 10.0."""
    try:
        await delete_drive(context, arguments.texts["id"])
    except EngineError as error:
        if context.release >= QEMU_11_1:
            raise
        return error_text(error)
    return ""


async def eject(context: Context, arguments: HmpArguments) -> str:
    await eject_medium(context, MediumArguments(device=arguments.texts["device"], force="force" in arguments.flags))
    return ""
