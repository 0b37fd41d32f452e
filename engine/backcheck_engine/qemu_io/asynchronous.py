"""The commands that start a request and return: aio_read, aio_write, aio_discard; and aio_flush, which waits for all.

A request prints its report when it is complete; whatever comes of it, the command has succeeded.
"""

from collections.abc import Awaitable

from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import Buffer
from backcheck_engine.qemu_io.arguments import pattern_argument, size_argument
from backcheck_engine.qemu_io.command import Command, Invocation
from backcheck_engine.qemu_io.session import CommandFailed, Session
from backcheck_engine.qemu_io.transfer import (
    DEFAULT_PATTERN,
    Request,
    checked_length,
    discard_request,
    perform,
    total_length,
    vectored_read,
    write_flags,
)


async def _complete(session: Session, request: Request, work: Awaitable[Buffer | None], failing: str) -> None:
    try:
        await perform(session, request, work, failing)
    except CommandFailed as failure:
        if failure.text:
            session.say(failure.text, failure.channel)


async def _aio_read(session: Session, invocation: Invocation) -> None:
    if invocation.parse().has("i"):
        session.say("injecting invalid read request")
        session.medium.accounting.invalid_read_operations += 1
        return
    request = vectored_read(invocation)
    session.start(_complete(session, request, session.pread(request.offset, request.length), "readv"))


async def _aio_write(session: Session, invocation: Invocation) -> None:
    given = invocation.parse()
    pattern = pattern_argument(given.options["P"]) if given.has("P") else DEFAULT_PATTERN
    if given.has("i"):
        session.say("injecting invalid write request")
        session.medium.accounting.invalid_write_operations += 1
        return
    if len(given.operands) < 2:
        raise invocation.wrong_shape()
    if given.has("z") and len(given.operands) > 2:
        raise CommandFailed("-z supports only a single length parameter")
    if given.has("u") and not given.has("z"):
        raise CommandFailed("-u requires -z to be specified")
    offset, flags = size_argument(given.operands[0]), write_flags(given)
    if given.has("z"):
        length = checked_length(given.operands[1], limited=False)
        work = session.medium.pwrite_zeroes(offset, length, flags)
    else:
        length = total_length(given.operands[1:])
        work = session.medium.pwrite(offset, bytes([pattern]) * length, flags)
    request = Request(verb="wrote", offset=offset, length=length, quiet=given.has("q"), machine_readable=given.has("C"))
    session.start(_complete(session, request, work, "aio_write"))


async def _aio_discard(session: Session, invocation: Invocation) -> None:
    request = discard_request(invocation, "discarded ")
    work = session.medium.discard(request.offset, request.length)
    session.start(_complete(session, request, work, "aio_discard"))


async def _aio_flush(session: Session, invocation: Invocation) -> None:
    """Wait until no request is in flight anywhere in the graph."""
    async with session.medium.graph.drained_all():
        pass


COMMANDS = (
    Command(
        name="aio_discard",
        usage="[-Cq] off len",
        summary="asynchronously discards a number of bytes",
        minimum=2,
        maximum=None,
        options="Cq",
        permissions=Permission.WRITE,
        run=_aio_discard,
    ),
    Command(name="aio_flush", summary="completes all outstanding aio requests", run=_aio_flush),
    Command(
        name="aio_read",
        usage="[-Ciqrv] [-P pattern] off len [len..]",
        summary="asynchronously reads a number of bytes",
        minimum=2,
        maximum=None,
        options="CiP:qrv",
        run=_aio_read,
    ),
    Command(
        name="aio_write",
        usage="[-Cfiqruz] [-P pattern] off len [len..]",
        summary="asynchronously writes a number of bytes",
        minimum=2,
        maximum=None,
        options="CfiP:qruz",
        permissions=Permission.WRITE,
        run=_aio_write,
    ),
)
