"""backcheck-io: the program with qemu-io's command line, for one image and commands from -c or from stdin."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import backcheck_engine.quick_start  # noqa: F401 - must come before anything that imports asyncio
from backcheck_engine import release
from backcheck_engine.tools.command_line import CommandLineError, Given, Option, parse
from backcheck_engine.tools.program import Program, ToolError, run

if TYPE_CHECKING:
    from backcheck_engine.tools.io_session import IoSession

NAME: Final = "backcheck-io"
OPTIONS: Final = (
    Option(long="object", value="OBJECTDEF", help="accepted as QEMU does: a secret, which nothing here needs"),
    Option(long="image-opts", help="the image is named by a list of options"),
    Option(long="cmd", short="c", value="STRING", help="run this command; may be given several times"),
    Option(long="format", short="f", value="FMT", help="the image's format, which is guessed otherwise"),
    Option(long="read-only", short="r", help="open the image read-only"),
    Option(long="snapshot", short="s", help="write to a temporary overlay"),
    Option(long="nocache", short="n", help="short for -t none"),
    Option(long="copy-on-read", short="C", help="store what is read from a backing file"),
    Option(long="misalign", short="m", help="accepted; buffers need no alignment here"),
    Option(long="native-aio", short="k", help="accepted; short for -i native"),
    Option(long="aio", short="i", value="MODE", help="accepted: threads, native or io_uring"),
    Option(long="cache", short="t", value="MODE", help="how the image is cached (writethrough)"),
    Option(long="discard", short="d", value="MODE", help="ignore or unmap what is discarded"),
    Option(long="trace", short="T", value="[[enable=]<pattern>][,events=<file>][,file=<file>]", help="accepted"),
    Option(long="force-share", short="U", help="read an image that another process has open for writing"),
    Option(long="help", short="h", help="show this help and exit"),
    Option(long="version", short="V", help="show the version and exit"),
)
PROMPT: Final = "qemu-io> "


def main() -> int:
    """Run the program on sys.argv; returns its exit status."""
    program = Program(NAME)
    return run(program, lambda: _start(program, sys.argv[1:]))


def _start(program: Program, arguments: Sequence[str]) -> int:
    try:
        given = parse(arguments, OPTIONS)
    except CommandLineError as error:
        program.complain(f"{program.path}: {error}")
        program.say(help_text(program))
        return 1
    if given.has("version"):
        program.say(f"{program.name} version {release.current()}.0 (Backcheck)")
        return 0
    if given.has("help") or len(given.operands) > 1:
        program.say(help_text(program))
        return 0 if given.has("help") else 1
    import asyncio

    return asyncio.run(_work(program, given))


def help_text(program: Program) -> str:
    """What --help shows."""
    lines = [f"Usage: {program.name} [OPTIONS]... [-c STRING]... [file]", "Reads and writes a disk image", ""]
    for option in OPTIONS:
        name = f"-{option.short}, --{option.long}" if option.short else f"    --{option.long}"
        lines.append(f"  {f'{name} {option.value}':<28} {option.help}".rstrip())
    return "\n".join([*lines, "", f"'{program.name} -c help' lists the commands."])


async def _work(program: Program, given: Given) -> int:
    from backcheck_engine.tools.image_options import check_objects
    from backcheck_engine.tools.io_session import IoSession, OpenRequest

    check_objects(given.all("object"))
    request = OpenRequest.from_command_line(given)
    if given.has("image-opts") and given.has("format"):
        raise ToolError("--image-opts and -f are mutually exclusive")
    session = IoSession(program)
    try:
        if given.operands:
            await session.open(request)
        if given.has("cmd"):
            return await _run_all(session, given.all("cmd"))
        return await _run_interactively(program, session)
    finally:
        await session.finish()


async def _run_all(session: "IoSession", commands: Sequence[str]) -> int:
    """All commands, also after one that failed; 1 when one did."""
    status = 0
    for command in commands:
        if not await session.run(command):
            status = 1
        if session.is_over:
            break
    return status


async def _run_interactively(program: Program, session: "IoSession") -> int:
    """The lines of stdin, with a prompt before each, until its end or `quit`; 1 when a command failed."""
    status = 0
    while not session.is_over:
        program.write(PROMPT)
        program.flush()
        line = await _next_line()
        if not line:
            break
        if not await session.run(line.removesuffix("\n")):
            status = 1
        program.flush()
    return status


async def _next_line() -> str:
    """A line of stdin, read in a thread so that requests which are under way go on."""
    from backcheck_engine.block.io_threads import run_in_thread

    return await run_in_thread(sys.stdin.readline)


if __name__ == "__main__":
    sys.exit(main())
