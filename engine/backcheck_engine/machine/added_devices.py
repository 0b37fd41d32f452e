"""Devices that are plugged in while the machine runs, written as -device writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.commandline.syntax import parse_flat

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context


def add_device(context: Context, text: str) -> None:
    """A device that the text of a -device describes. Raises EngineError in QEMU's words."""
    properties: JsonObject = {item.key: item.value for item in parse_flat(text, "driver")}
    context.devices.add(str(properties.pop("driver", "")), properties, hotplug=True)
