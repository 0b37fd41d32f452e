"""The command `block_set_io_throttle`: limits of a device, which it may share with others of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from backcheck_engine.block.throttling import ThrottleLimits
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.device_lookup import find_backend
from backcheck_engine.monitor.limit_names import KIND_OF_LIMIT
from backcheck_engine.monitor.registry import tree_command

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@tree_command("block_set_io_throttle")
async def block_set_io_throttle(context: Context, arguments: JsonObject) -> JsonValue:
    """Limit a device, or with all limits zero, no longer."""
    backend = find_backend(
        context, cast("str | None", arguments.get("device")), cast("str | None", arguments.get("id"))
    )
    if backend.node is None:
        raise BlockError(f"Device '{backend.name or backend.attached_device}' has no medium")
    members = {"iops-size": cast("int", arguments.get("iops_size", 0))}
    for name, kind in KIND_OF_LIMIT.items():
        for key, part in ((name, ""), (f"{name}_max", "-max"), (f"{name}_max_length", "-max-length")):
            if key in arguments:
                members[f"{kind}{part}"] = cast("int", arguments[key])
    backend.limit(cast("str | None", arguments.get("group")), ThrottleLimits.from_qapi(members))
    return {}
