"""The commands `trace-event-get-state` and `trace-event-set-state`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine import tracing
from backcheck_engine.errors import QmpError
from backcheck_engine.monitor import registry
from backcheck_engine.monitor.registry import command
from backcheck_engine.release import QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEventGetState:
    """Arguments of `trace-event-get-state`."""

    name: str
    vcpu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEventSetState:
    """Arguments of `trace-event-set-state`."""

    name: str
    enable: bool
    ignore_unavailable: bool = False
    vcpu: int | None = None


@command("trace-event-get-state", TraceEventGetState)
async def trace_event_get_state(context: Context, arguments: TraceEventGetState) -> JsonValue:
    """Whether the events that a name or pattern fits are told."""
    return [_info(event, context.release) for event in reversed(find_events(arguments.name, arguments.vcpu))]


@command("trace-event-set-state", TraceEventSetState)
async def trace_event_set_state(context: Context, arguments: TraceEventSetState) -> JsonValue:
    """Have them told, or not."""
    for event in find_events(arguments.name, arguments.vcpu):
        event.is_on = arguments.enable
    return {}


def find_events(name: str, vcpu: int | None = None) -> list[tracing.TraceEvent]:
    """The events that a name or pattern fits. Raises QmpError for a name that is no event's."""
    if vcpu is not None:
        raise QmpError.generic(f"invalid vCPU index {vcpu}")
    tracing.declare_commands(registry.names())
    found = tracing.matching(name)
    if not tracing.is_pattern(name) and name not in (event.name for event in found):
        raise QmpError.generic(f'unknown event "{name}"')
    return found


def _info(event: tracing.TraceEvent, release: Release) -> JsonObject:
    info: JsonObject = {"name": event.name, "state": "enabled" if event.is_on else "disabled"}
    return info if release >= QEMU_10_0 else {**info, "vcpu": False}
