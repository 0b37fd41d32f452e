"""The human monitor's `drive_backup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.monitor import registry

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments


async def drive_backup(context: Context, arguments: HmpArguments) -> str:
    """Start a backup under the device's own name; only the top layer, unless `-f` asks for the whole disk."""
    members: JsonObject = {
        "device": arguments.texts["device"],
        "target": arguments.texts["target"],
        "sync": "full" if "full" in arguments.flags else "top",
        "mode": "existing" if "reuse" in arguments.flags else "absolute-paths",
        "compress": "compress" in arguments.flags,
    }
    if "format" in arguments.texts:
        members["format"] = arguments.texts["format"]
    await registry.handler("drive-backup")(context, members)
    return ""
