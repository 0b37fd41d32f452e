"""Commands of the human monitor about the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from backcheck_engine.monitor import registry
from backcheck_engine.monitor.context import RunState
from backcheck_engine.version import PACKAGE, version_text

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments

_NO_UUID = "00000000-0000-0000-0000-000000000000"


async def stop(context: Context, arguments: HmpArguments) -> str:
    await registry.handler("stop")(context, {})
    return ""


async def cont(context: Context, arguments: HmpArguments) -> str:
    await registry.handler("cont")(context, {})
    return ""


async def quit_(context: Context, arguments: HmpArguments) -> str:
    await registry.handler("quit")(context, {})
    return ""


async def system_powerdown(context: Context, arguments: HmpArguments) -> str:
    await registry.handler("system_powerdown")(context, {})
    return ""


async def system_reset(context: Context, arguments: HmpArguments) -> str:
    await registry.handler("system_reset")(context, {})
    return ""


async def info_name(context: Context, arguments: HmpArguments) -> str:
    return "" if context.name is None else f"{context.name}\n"


async def info_status(context: Context, arguments: HmpArguments) -> str:
    state = context.run_state
    if state is RunState.RUNNING:
        return "VM status: running\n"
    return f"VM status: paused{'' if state is RunState.PAUSED else f' ({state.value})'}\n"


async def info_uuid(context: Context, arguments: HmpArguments) -> str:
    return f"{context.uuid or _NO_UUID}\n"


async def info_version(context: Context, arguments: HmpArguments) -> str:
    return f"{version_text(context.release)}{PACKAGE}\n"


async def info_iothreads(context: Context, arguments: HmpArguments) -> str:
    text = ""
    for shown in cast("list[JsonObject]", await registry.handler("query-iothreads")(context, {})):
        text += f"{shown.pop('id')}:\n  thread_id={shown.pop('thread-id')}\n"
        text += "".join(f"  {name}={value}\n" for name, value in shown.items())
    return text
