"""The command `block_set_io_throttle`: limits of a device, which it may share with others of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from backcheck_engine.block.throttling import ThrottleLimits
from backcheck_engine.errors import BlockError, QmpError
from backcheck_engine.monitor.limit_names import KIND_OF_LIMIT
from backcheck_engine.monitor.registry import tree_command

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@tree_command("block_set_io_throttle")
async def block_set_io_throttle(context: Context, arguments: JsonObject) -> JsonValue:
    """Limit a device, or with all limits zero, no longer."""
    backend = _find(context, arguments)
    if backend.node is None:
        raise BlockError(f"Device '{backend.name or backend.attached_device}' has no medium")
    members = {"iops-size": cast("int", arguments.get("iops_size", 0))}
    for name, kind in KIND_OF_LIMIT.items():
        for key, part in ((name, ""), (f"{name}_max", "-max"), (f"{name}_max_length", "-max-length")):
            if key in arguments:
                members[f"{kind}{part}"] = cast("int", arguments[key])
    backend.limit(cast("str | None", arguments.get("group")), ThrottleLimits.from_qapi(members))
    return {}


def _find(context: Context, arguments: JsonObject) -> BlockBackend:
    """The device, by the id of its backend or by that of the guest's device. Raises EngineError."""
    if ("device" in arguments) == ("id" in arguments):
        raise QmpError.generic("Need exactly one of 'device' and 'id'")
    name = str(arguments.get("device", arguments.get("id")))
    if "device" in arguments:
        found = context.graph.backends.get(name)
    else:
        found = next((guest.backend for guest in context.guests if guest.is_called(name)), None)
    if found is None:
        raise QmpError("DeviceNotFound", f"Device '{name}' not found")
    return found
