"""The commands that read and write and wait for it: read, readv, write, writev, discard.

The parts that the aio_* commands share are here too: how a request is described, done and reported.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import MAX_REQUEST_BYTES, SECTOR_SIZE, Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.qemu_io.arguments import Arguments, pattern_argument, size_argument
from backcheck_engine.qemu_io.command import Command, Invocation
from backcheck_engine.qemu_io.result import Transfer, dump, holds_only, report
from backcheck_engine.qemu_io.session import Channel, CommandFailed, Session

DEFAULT_PATTERN = 0xCD


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a read must find: `pattern` in `length` bytes from `start` of what was read."""

    pattern: int
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One transfer, as its command described it."""

    verb: str
    """How the report begins."""
    offset: int
    length: int
    quiet: bool = False
    machine_readable: bool = False
    show: bool = False
    """Whether the bytes read are printed."""
    expectation: Expectation | None = None


async def perform(session: Session, request: Request, work: Awaitable[Buffer | None], failing: str) -> None:
    """Do a transfer and print what came of it. Raises CommandFailed; `failing` is what its text says has failed."""
    started = time.monotonic()
    try:
        data = await work
    except BlockError as error:
        raise CommandFailed(f"{failing} failed: {error}") from error
    finish(session, request, data, time.monotonic() - started)


def finish(session: Session, request: Request, data: Buffer | None, seconds: float) -> None:
    """Print what a transfer brought. Raises CommandFailed, at the end, when it is not what was expected."""
    mismatch = data is not None and not _is_as_expected(session, request, data)
    if not request.quiet:
        if request.show and data is not None:
            session.say(dump(data, request.offset))
        transfer = Transfer(verb=request.verb, offset=request.offset, length=request.length, seconds=seconds)
        session.say(report(transfer, machine_readable=request.machine_readable))
    if mismatch:
        raise CommandFailed


def _is_as_expected(session: Session, request: Request, data: Buffer) -> bool:
    expected = request.expectation
    if expected is None:
        return True
    if holds_only(memoryview(data)[expected.start : expected.start + expected.length], expected.pattern):
        return True
    session.say(f"Pattern verification failed at offset {request.offset + expected.start}, {expected.length} bytes")
    return False


def total_length(operands: list[str]) -> int:
    """The sum of several lengths. Raises CommandFailed for one that is none, or too much together."""
    total = 0
    for operand in operands:
        length = size_argument(operand)
        if length > MAX_REQUEST_BYTES:
            raise CommandFailed(f"Argument '{operand}' exceeds maximum size {MAX_REQUEST_BYTES}")
        total += length
        if total > MAX_REQUEST_BYTES:
            raise CommandFailed(f"The total number of bytes exceed the maximum size {MAX_REQUEST_BYTES}")
    return total


def checked_length(operand: str, hint: str = "", *, limited: bool = True) -> int:
    """A single length. Raises CommandFailed in qemu-io's words, which name `hint` as the way round the limit."""
    length = size_argument(operand)
    if limited and length > MAX_REQUEST_BYTES:
        raise CommandFailed(f"length cannot exceed {MAX_REQUEST_BYTES}{hint}, given {operand}")
    return length


def write_flags(arguments: Arguments) -> RequestFlag:
    """The flags that -f, -u and -n stand for."""
    letters = {"f": RequestFlag.FUA, "u": RequestFlag.MAY_UNMAP, "n": RequestFlag.NO_FALLBACK}
    flags = RequestFlag.NONE
    for letter, flag in letters.items():
        if arguments.has(letter):
            flags |= flag
    return flags


def _check_sectors(offset: int, length: int) -> None:
    for value, name in ((offset, "offset"), (length, "count")):
        if value % SECTOR_SIZE:
            raise CommandFailed(f"{value} is not a sector-aligned value for '{name}'")


async def _read(session: Session, invocation: Invocation) -> None:
    given = invocation.parse()
    pattern = pattern_argument(given.options["P"]) if given.has("P") else None
    length_of_pattern = size_argument(given.options["l"]) if given.has("l") else None
    start = size_argument(given.options["s"]) if given.has("s") else 0
    if len(given.operands) != 2:
        raise invocation.wrong_shape()
    offset, length = size_argument(given.operands[0]), checked_length(given.operands[1])
    if pattern is None and (given.has("l") or given.has("s")):
        raise invocation.wrong_shape()
    if length_of_pattern is None:
        length_of_pattern = length - start
    if length_of_pattern < 0 or start + length_of_pattern > length:
        raise CommandFailed("pattern verification range exceeds end of read data")
    request = Request(
        verb="read",
        offset=offset,
        length=length,
        quiet=given.has("q"),
        machine_readable=given.has("C"),
        show=given.has("v"),
        expectation=None if pattern is None else Expectation(pattern=pattern, start=start, length=length_of_pattern),
    )
    if given.has("b"):
        _check_sectors(offset, length)
        await perform(session, request, session.node.driver.load_vmstate(offset, length), "read")
    else:
        await perform(session, request, session.pread(offset, length), "read")


async def _readv(session: Session, invocation: Invocation) -> None:
    request = vectored_read(invocation)
    await perform(session, request, session.pread(request.offset, request.length), "readv")


def vectored_read(invocation: Invocation) -> Request:
    """The request of a readv or an aio_read. Raises CommandFailed."""
    given = invocation.parse()
    pattern = pattern_argument(given.options["P"]) if given.has("P") else None
    if len(given.operands) < 2:
        raise invocation.wrong_shape()
    offset, length = size_argument(given.operands[0]), total_length(given.operands[1:])
    return Request(
        verb="read",
        offset=offset,
        length=length,
        quiet=given.has("q"),
        machine_readable=given.has("C"),
        show=given.has("v"),
        expectation=None if pattern is None else Expectation(pattern=pattern, start=0, length=length),
    )


_CONFLICTS: tuple[tuple[Callable[[Arguments], bool], str], ...] = (
    (lambda a: a.has("b") and a.has("z"), "-b and -z cannot be specified at the same time"),
    (
        lambda a: a.has("f") and (a.has("b") or a.has("c")),
        "-f and -b or -c cannot be specified at the same time",
    ),
    (lambda a: a.has("n") and not a.has("z"), "-n requires -z to be specified"),
    (lambda a: a.has("u") and not a.has("z"), "-u requires -z to be specified"),
    (
        lambda a: sum(map(a.has, "zPs")) > 1,
        "Only one of -z, -P, and -s can be specified at the same time",
    ),
)
"""Options of `write` that do not go together, in the order in which qemu-io looks."""


async def _write(session: Session, invocation: Invocation) -> None:
    given = invocation.parse()
    pattern = pattern_argument(given.options["P"]) if given.has("P") else DEFAULT_PATTERN
    if len(given.operands) != 2:
        raise invocation.wrong_shape()
    for is_given, text in _CONFLICTS:
        if is_given(given):
            raise CommandFailed(text)
    offset = size_argument(given.operands[0])
    length = checked_length(given.operands[1], " without -n", limited=not given.has("n"))
    if given.has("b") or given.has("c"):
        _check_sectors(offset, length)
    request = Request(verb="wrote", offset=offset, length=length, quiet=given.has("q"), machine_readable=given.has("C"))
    if given.has("z"):
        work = session.medium.pwrite_zeroes(offset, length, write_flags(given))
    else:
        content = _file_content(given.options["s"], length) if given.has("s") else bytes([pattern]) * length
        work = _write_content(session, given, offset, content)
    await perform(session, request, work, "write")


async def _write_content(session: Session, given: Arguments, offset: int, content: bytes) -> None:
    if given.has("b"):
        await session.node.driver.save_vmstate(offset, content)
    elif given.has("c"):
        await session.medium.pwrite_compressed(offset, content)
    else:
        await session.medium.pwrite(offset, content, write_flags(given))


def _file_content(name: str, length: int) -> bytes:
    """`length` bytes of the file's content, over and over. Raises CommandFailed."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(length)
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}", Channel.ERROR) from error
    if not content:
        raise CommandFailed(f"{name}: file is empty", Channel.ERROR)
    return (content * (length // len(content) + 1))[:length]


async def _writev(session: Session, invocation: Invocation) -> None:
    given = invocation.parse()
    pattern = pattern_argument(given.options["P"]) if given.has("P") else DEFAULT_PATTERN
    if len(given.operands) < 2:
        raise invocation.wrong_shape()
    offset, length = size_argument(given.operands[0]), total_length(given.operands[1:])
    request = Request(verb="wrote", offset=offset, length=length, quiet=given.has("q"), machine_readable=given.has("C"))
    work = session.medium.pwrite(offset, bytes([pattern]) * length, write_flags(given))
    await perform(session, request, work, "writev")


def discard_request(invocation: Invocation, verb: str) -> Request:
    """The request of a discard or an aio_discard. Raises CommandFailed."""
    given = invocation.parse()
    if len(given.operands) != 2:
        raise invocation.wrong_shape()
    return Request(
        verb=verb,
        offset=size_argument(given.operands[0]),
        length=checked_length(given.operands[1]),
        quiet=given.has("q"),
        machine_readable=given.has("C"),
    )


async def _discard(session: Session, invocation: Invocation) -> None:
    request = discard_request(invocation, "discard")
    await perform(session, request, session.medium.discard(request.offset, request.length), "discard")


COMMANDS = (
    Command(
        name="discard",
        alias="d",
        usage="[-Cq] off len",
        summary="discards a number of bytes at a specified offset",
        minimum=2,
        maximum=None,
        options="Cq",
        permissions=Permission.WRITE,
        run=_discard,
    ),
    Command(
        name="read",
        alias="r",
        usage="[-abCqrv] [-P pattern [-s off] [-l len]] off len",
        summary="reads a number of bytes at a specified offset",
        minimum=2,
        maximum=None,
        options="bCl:pP:qrs:v",
        run=_read,
    ),
    Command(
        name="readv",
        usage="[-Cqrv] [-P pattern] off len [len..]",
        summary="reads a number of bytes at a specified offset",
        minimum=2,
        maximum=None,
        options="CP:qrv",
        run=_readv,
    ),
    Command(
        name="write",
        alias="w",
        usage="[-bcCfnqruz] [-P pattern | -s source_file] off len",
        summary="writes a number of bytes at a specified offset",
        minimum=2,
        maximum=None,
        options="bcCfnpP:qrs:uz",
        permissions=Permission.WRITE,
        run=_write,
    ),
    Command(
        name="writev",
        usage="[-Cfqr] [-P pattern] off len [len..]",
        summary="writes a number of bytes at a specified offset",
        minimum=2,
        maximum=None,
        options="CfP:qr",
        permissions=Permission.WRITE,
        run=_writev,
    ),
)
