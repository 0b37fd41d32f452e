"""From a line to a command that runs: the table of commands, the checks they share, and `help`."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from backcheck_engine.errors import BlockError
from backcheck_engine.qemu_io import asynchronous, breakpoints, inquiry, maintenance, transfer
from backcheck_engine.qemu_io.arguments import split_words
from backcheck_engine.qemu_io.command import Command, Invocation, WrongOption
from backcheck_engine.qemu_io.session import Channel, CommandFailed, Session, Writer

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

Table = Mapping[str, Command]


async def run_command(
    backend: "BlockBackend",
    line: str,
    out: Writer,
    *,
    report: Writer | None = None,
    error: Writer | None = None,
) -> bool:
    """Run one line on a backend, as HMP's `qemu-io` does. Returns whether it succeeded.

    `out` gets what QEMU prints on its stdout (whole lines), `report` what it answers to the monitor's client (default:
    `out`), `error` what it prints on its stderr (default: this program's). Commands that start a request return at
    once; what the request prints comes later, through the same `out`.
    """
    channels = {
        Channel.OUTPUT: out,
        Channel.REPORT: report or out,
        Channel.ERROR: error or _write_stderr,
    }
    session = Session(backend, channels)
    session.in_monitor = True
    return await run_line(session, line, COMMANDS)


def _write_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


async def run_line(session: Session, line: str, table: Table) -> bool:
    """Run one line with the commands of `table`, which is by name and alias. Returns whether it succeeded."""
    words = split_words(line)
    if not words:
        return True
    try:
        await _run_words(session, words, table)
    except CommandFailed as failure:
        if failure.text:
            session.say(failure.text, failure.channel)
        if isinstance(failure, WrongOption):
            session.say(failure.usage)
        return False
    return True


async def _run_words(session: Session, words: list[str], table: Table) -> None:
    name, arguments = words[0], words[1:]
    command = table.get(name)
    if command is None:
        raise CommandFailed(f'command "{name}" not found', Channel.ERROR)
    if command.needs_file and session.backend is None:
        raise CommandFailed("no file open, try 'help open'", Channel.ERROR)
    wrong_count = command.count_error(name, len(arguments))
    if wrong_count:
        raise CommandFailed(wrong_count, Channel.ERROR)
    _take_permissions(session, command)
    try:
        await command.run(session, Invocation(command=command, typed_name=name, words=arguments))
    except BlockError as error:
        raise CommandFailed(f"{name} failed: {error}") from error


def _take_permissions(session: Session, command: Command) -> None:
    backend = session.backend
    if backend is None or backend.node is None or not command.permissions & ~backend.permissions:
        return
    try:
        backend.set_permissions(backend.permissions | command.permissions, backend.shared)
    except BlockError as error:
        raise CommandFailed(str(error), Channel.REPORT) from error


def build_table(*commands: Command) -> dict[str, Command]:
    """The commands of the language and those given, by name and alias, with a `help` about all of them."""
    table: dict[str, Command] = {}

    async def help_about(session: Session, invocation: Invocation) -> None:
        if not invocation.words:
            for name in sorted(table):
                if table[name].name == name:
                    session.say(table[name].one_line())
            session.say("\nUse 'help commandname' for extended help.")
            return
        command = table.get(invocation.words[0])
        if command is None:
            raise CommandFailed(f"command {invocation.words[0]} not found")
        session.say(command.one_line())

    about = Command(
        name="help",
        alias="?",
        usage="[command]",
        summary="help for one or all commands",
        maximum=1,
        needs_file=False,
        run=help_about,
    )
    modules = (asynchronous, breakpoints, inquiry, maintenance, transfer)
    for command in (about, *commands, *(command for module in modules for command in module.COMMANDS)):
        table[command.name] = command
        if command.alias:
            table[command.alias] = command
    return table


COMMANDS: Final = build_table()
"""What HMP's `qemu-io` offers."""
