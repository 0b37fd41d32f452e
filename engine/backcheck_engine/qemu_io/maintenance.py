"""The commands that act on the image as a whole or on the program: flush, truncate, sleep, signals."""

import asyncio
import os
import signal

from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.qemu_io.arguments import size_argument
from backcheck_engine.qemu_io.command import Command, Invocation
from backcheck_engine.qemu_io.numbers import parse_integer
from backcheck_engine.qemu_io.session import Channel, CommandFailed, Session

PREALLOCATION_MODES = ("off", "metadata", "falloc", "full")


async def _flush(session: Session, invocation: Invocation) -> None:
    """Flush; as in QEMU, a failure shows in the exit status only."""
    try:
        await session.medium.flush()
    except BlockError as error:
        raise CommandFailed from error


async def _truncate(session: Session, invocation: Invocation) -> None:
    given = invocation.parse()
    preallocation = given.options.get("m", "off")
    if preallocation not in PREALLOCATION_MODES:
        raise CommandFailed(f"Invalid preallocation mode '{preallocation}'", Channel.REPORT)
    if not given.operands:
        raise invocation.wrong_shape()
    size = size_argument(given.operands[0])
    try:
        await session.medium.truncate(size, exact=False, preallocation=preallocation)
    except BlockError as error:
        raise CommandFailed(str(error), Channel.REPORT) from error


async def _sleep(session: Session, invocation: Invocation) -> None:
    milliseconds = parse_integer(invocation.words[0])
    if milliseconds is None or milliseconds < 0:
        raise CommandFailed(f"{invocation.words[0]} is not a valid number")
    await asyncio.sleep(milliseconds / 1000)


async def _sigraise(session: Session, invocation: Invocation) -> None:
    number = size_argument(invocation.words[0])
    if number >= signal.NSIG:
        raise CommandFailed(f"signal argument '{invocation.words[0]}' is too large to be a valid signal")
    os.kill(os.getpid(), number)


async def _abort(session: Session, invocation: Invocation) -> None:
    os.abort()


COMMANDS = (
    Command(name="abort", summary="simulate a program crash using abort(3)", needs_file=False, run=_abort),
    Command(name="flush", alias="f", summary="flush all in-core file state to disk", run=_flush),
    Command(
        name="sigraise",
        usage="signal",
        summary="raises a signal",
        minimum=1,
        maximum=1,
        needs_file=False,
        run=_sigraise,
    ),
    Command(
        name="sleep",
        summary="waits for the given value in milliseconds",
        minimum=1,
        maximum=1,
        needs_file=False,
        run=_sleep,
    ),
    Command(
        name="truncate",
        alias="t",
        usage="[-m prealloc_mode] off",
        summary="truncates the current file at the given offset",
        minimum=1,
        maximum=3,
        options="m:",
        permissions=Permission.WRITE | Permission.RESIZE,
        run=_truncate,
    ),
)
