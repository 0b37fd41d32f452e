"""The human monitor: a line in, text out. Reached through the command `human-monitor-command`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.errors import EngineError, QmpError
from backcheck_engine.monitor.hmp_line import HmpArguments, HmpError, error_text, parse_arguments
from backcheck_engine.monitor.hmp_table import COMMANDS, INFO_COMMANDS, HmpCommand, commands, find
from backcheck_engine.monitor.registry import command
from backcheck_engine.tracing import HANDLE_HMP_COMMAND

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanMonitorCommand:
    """Arguments of `human-monitor-command`."""

    command_line: str
    cpu_index: int | None = None


@command("human-monitor-command", HumanMonitorCommand)
async def human_monitor_command(context: Context, arguments: HumanMonitorCommand) -> JsonValue:
    if arguments.cpu_index is not None:
        raise QmpError.generic("Parameter 'cpu-index' expects a CPU number")
    text = await run_line(context, arguments.command_line)
    return text.replace("\n", "\r\n")


async def run_line(context: Context, line: str) -> str:
    """What the human monitor answers to a line."""
    if HANDLE_HMP_COMMAND.is_on:
        HANDLE_HMP_COMMAND(context, line)
    name, _, rest = line.strip().partition(" ")
    if not name:
        return ""
    found = find(commands(context.release), name)
    if found is None:
        return f"unknown command: '{name}'\n"
    rest = rest.lstrip(" ")
    if found.names[0] == "info" and rest:
        item, _, rest = rest.partition(" ")
        found = find(INFO_COMMANDS, item)
        if found is None:
            return f"unknown command: 'info {item}'\n"
        return await _run(context, found, rest, f"info {item}")
    return await _run(context, found, rest, name)


def completions(before: str) -> list[str]:
    """What the last word of a line that begins so may be."""
    words = before.split(" ")
    table = INFO_COMMANDS if words[:-1] in (["info"], ["help", "info"]) else COMMANDS
    if len(words) > 1 and table is COMMANDS and words[:-1] != ["help"]:
        return []
    return sorted(name for entry in table for name in entry.names if name.startswith(words[-1]))


async def _run(context: Context, found: HmpCommand, text: str, full_name: str) -> str:
    try:
        arguments = parse_arguments("|".join(found.names), found.types, text)
    except HmpError as error:
        context.write_stdout(error.printed)
        return f'{error.message}\nTry "help {full_name}" for more information\n'
    try:
        return await found.load()(context, arguments)
    except EngineError as error:
        return f"Error: {error_text(error)}"


async def help_(context: Context, arguments: HmpArguments) -> str:
    name, _, item = arguments.texts.get("name", "").partition(" ")
    if not name:
        return "".join(entry.help_line() for entry in commands(context.release))
    if name == "info" and not item:
        return await info(context, arguments)
    table, prefix = (INFO_COMMANDS, "info ") if name == "info" else (commands(context.release), "")
    found = find(table, item.strip() or name)
    return found.help_line(prefix) if found else f"unknown command: '{arguments.texts['name']}'\n"


async def info(context: Context, arguments: HmpArguments) -> str:
    return "".join(entry.help_line("info ") for entry in INFO_COMMANDS)
