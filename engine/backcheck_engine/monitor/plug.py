"""Plugging a device in: `device_add`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.devices.properties import are_typed
from backcheck_engine.errors import QmpError
from backcheck_engine.monitor.registry import tree_command

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@tree_command("device_add")
async def device_add(context: Context, arguments: JsonObject) -> JsonValue:
    """Plug in a device of the model `driver`; the other arguments are its properties."""
    properties = dict(arguments)
    driver = properties.pop("driver", None)
    if driver is None or (not isinstance(driver, str) and are_typed(context.release, is_json=True)):
        raise QmpError.generic("Parameter 'driver' is missing")
    context.devices.add(str(driver), properties, hotplug=True, is_json=True)
    return {}
