"""Commands about the monitor and the program themselves: what it is, what it can do, how it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.monitor import registry
from backcheck_engine.monitor.context import Context, RunState
from backcheck_engine.monitor.registry import NoArguments, command
from backcheck_engine.qapi.introspection import Introspection
from backcheck_engine.qapi.schema import schema_of
from backcheck_engine.release import QEMU_10_0
from backcheck_engine.version import version_info

if TYPE_CHECKING:
    from backcheck_engine.qapi.types import Command
    from backcheck_engine.release import Release

_NO_UUID = "00000000-0000-0000-0000-000000000000"


def commands_of(release: Release) -> list[Command]:
    """The commands that the engine has in a release."""
    found = (schema_of(release).command(name) for name in sorted(registry.names()))
    return [entry for entry in found if entry]


@command("query-version", NoArguments)
async def query_version(context: Context, arguments: NoArguments) -> JsonValue:
    return version_info(context.release)


@command("query-commands", NoArguments)
async def query_commands(context: Context, arguments: NoArguments) -> JsonValue:
    return [{"name": entry.name} for entry in commands_of(context.release)]


@command("query-events", NoArguments)
async def query_events(context: Context, arguments: NoArguments) -> JsonValue:
    return [{"name": event.name} for event in schema_of(context.release).events()]


@command("query-qmp-schema", NoArguments)
async def query_qmp_schema(context: Context, arguments: NoArguments) -> JsonValue:
    schema = schema_of(context.release)
    return Introspection(schema).describe(commands_of(context.release), schema.events())


@command("query-name", NoArguments)
async def query_name(context: Context, arguments: NoArguments) -> JsonValue:
    return {} if context.name is None else {"name": context.name}


@command("query-uuid", NoArguments)
async def query_uuid(context: Context, arguments: NoArguments) -> JsonValue:
    return {"UUID": context.uuid or _NO_UUID}


@command("query-status", NoArguments)
async def query_status(context: Context, arguments: NoArguments) -> JsonValue:
    running = context.run_state is RunState.RUNNING
    status: JsonObject = {"status": context.run_state.value, "running": running}
    return status if context.release >= QEMU_10_0 else {**status, "singlestep": False}
