"""The commands that talk to the blkdebug below the image: break, remove_break, resume, wait_break."""

import asyncio
import errno

from backcheck_engine.block.debugging import Debugger, find_debugger
from backcheck_engine.errors import BlockError
from backcheck_engine.qemu_io.command import Command, Invocation
from backcheck_engine.qemu_io.session import CommandFailed, Session


def _debugger(session: Session) -> Debugger:
    debugger = find_debugger(session.node)
    if debugger is None:
        raise BlockError.from_errno(errno.ENOTSUP)
    return debugger


async def _break(session: Session, invocation: Invocation) -> None:
    try:
        _debugger(session).breakpoint(*invocation.words)
    except BlockError as error:
        raise CommandFailed(f"Could not set breakpoint: {error}") from error


async def _remove_break(session: Session, invocation: Invocation) -> None:
    tag = invocation.words[0]
    try:
        _debugger(session).remove_breakpoint(tag)
    except BlockError as error:
        raise CommandFailed(f"Could not remove breakpoint {tag}: {error}") from error


async def _resume(session: Session, invocation: Invocation) -> None:
    try:
        _debugger(session).resume(invocation.words[0])
    except BlockError as error:
        raise CommandFailed(f"Could not resume request: {error}") from error
    # The request goes on, up to its next wait, before the command ends.
    await asyncio.sleep(0)


async def _wait_break(session: Session, invocation: Invocation) -> None:
    """Wait until a request is held; without a blkdebug that is never, and QEMU would wait forever."""
    try:
        await _debugger(session).wait_until_suspended(invocation.words[0])
    except BlockError as error:
        raise CommandFailed(f"Could not wait for breakpoint: {error}") from error


COMMANDS = (
    Command(
        name="break",
        usage="event tag",
        summary="sets a breakpoint on event and tags the stopped request as tag",
        minimum=2,
        maximum=2,
        run=_break,
    ),
    Command(
        name="remove_break",
        usage="tag",
        summary="remove a breakpoint by tag",
        minimum=1,
        maximum=1,
        run=_remove_break,
    ),
    Command(
        name="resume",
        usage="tag",
        summary="resumes the request tagged as tag",
        minimum=1,
        maximum=1,
        run=_resume,
    ),
    Command(
        name="wait_break",
        usage="tag",
        summary="waits for the suspension of a request",
        minimum=1,
        maximum=1,
        run=_wait_break,
    ),
)
