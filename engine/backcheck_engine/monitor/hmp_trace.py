"""Commands of the human monitor about trace events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine import tracing
from backcheck_engine.errors import EngineError, QmpError
from backcheck_engine.monitor.hmp_line import HmpError
from backcheck_engine.monitor.trace import find_events

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments


async def trace_event(context: Context, arguments: HmpArguments) -> str:
    try:
        events = find_events(arguments.texts["name"])
    except QmpError as error:
        return f"{error}\n"
    for event in events:
        event.is_on = "option" in arguments.flags
    return ""


async def info_trace_events(context: Context, arguments: HmpArguments) -> str:
    try:
        events = find_events(arguments.texts.get("name", "*"))
    except QmpError as error:
        return f"{error}\n"
    return "".join(f"{event.name} : state {int(event.is_on)}\n" for event in reversed(events))


async def logfile(context: Context, arguments: HmpArguments) -> str:
    """Write trace events to another file."""
    try:
        tracing.LOG.open(arguments.texts["filename"])
    except EngineError as error:
        raise HmpError(f"Error: {error}") from error
    return ""
