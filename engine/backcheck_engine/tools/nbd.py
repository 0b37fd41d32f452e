"""backcheck-nbd: the program with qemu-nbd's command line, which exports one image, or lists what a server exports."""

import sys
from collections.abc import Sequence
from typing import Final

import backcheck_engine.quick_start  # noqa: F401 - must come before anything that imports asyncio
from backcheck_engine import release
from backcheck_engine.tools.command_line import CommandLineError, Given, Option, parse
from backcheck_engine.tools.program import Program, ToolError, run

NAME: Final = "backcheck-nbd"
GROUPS: Final = (
    (
        "Where clients come from",
        (
            Option(long="port", short="p", value="PORT", help="the TCP port to listen on (10809)"),
            Option(long="bind", short="b", value="HOST", help="the address to listen on (0.0.0.0)"),
            Option(long="socket", short="k", value="PATH", help="listen on a unix socket instead; an absolute path"),
            Option(long="shared", short="e", value="NUM", help="how many clients at a time (1); 0 is any number"),
            Option(long="persistent", short="t", help="go on when the last client has gone"),
            Option(long="export-name", short="x", value="NAME", help="what the export is called (the empty name)"),
            Option(long="description", short="D", value="TEXT", help="what clients read about the export"),
            Option(long="verbose", short="v", help="accepted"),
        ),
    ),
    (
        "What of the image is shown",
        (
            Option(long="offset", short="o", value="OFFSET", help="leave out this many bytes at the beginning"),
            Option(long="allocation-depth", short="A", help="tell in which layer data lies"),
            Option(
                long="bitmap", short="B", value="NAME", help="tell what a dirty bitmap has; may be given more often"
            ),
        ),
    ),
    (
        "The image",
        (
            Option(long="format", short="f", value="FORMAT", help="its format, which is guessed otherwise"),
            Option(long="image-opts", help="the image is named by a list of options"),
            Option(long="read-only", short="r", help="let nobody write"),
            Option(long="snapshot", short="s", help="let writes go to a temporary overlay"),
            Option(long="nocache", short="n", help="short for --cache=none"),
            Option(long="cache", value="MODE", help="none, writeback (the default), writethrough, directsync, unsafe"),
            Option(long="aio", value="MODE", help="threads, native or io_uring"),
            Option(long="discard", value="MODE", help="ignore or unmap what clients trim (unmap)"),
            Option(long="detect-zeroes", value="MODE", help="off, on or unmap"),
        ),
    ),
    (
        "The program",
        (
            Option(long="connect", short="c", value="DEV", help="refused: there are no kernel devices here"),
            Option(long="disconnect", short="d", help="refused as well"),
            Option(long="list", short="L", help="list the exports of another server"),
            Option(long="fork", help="go to the background once clients can come"),
            Option(long="pid-file", value="PATH", help="write the process's id to a file"),
            Option(long="object", value="type,id=ID,...", help="accepted as QEMU does; nothing here needs one"),
            Option(long="tls-creds", value="ID", help="refused: there is no TLS"),
            Option(long="trace", short="T", value="PATTERN", help="accepted"),
            Option(long="help", short="h", help="show this help and exit"),
            Option(long="version", short="V", help="show the version and exit"),
        ),
    ),
)
OPTIONS: Final = tuple(option for _, options in GROUPS for option in options)


def main() -> int:
    """Run the program on sys.argv; returns its exit status."""
    program = Program(NAME)
    return run(program, lambda: _start(program, sys.argv[1:]))


def _start(program: Program, arguments: Sequence[str]) -> int:
    try:
        given = parse(arguments, OPTIONS)
    except CommandLineError as error:
        program.complain(f"{program.path}: {error}")
        raise ToolError(_way_to_help(program)) from error
    if given.has("help"):
        program.say(help_text(program))
        return 0
    if given.has("version"):
        program.say(f"{program.name} {release.current()}.0 (Backcheck)")
        return 0
    return _list(program, given) if given.has("list") else _serve(program, given)


def _serve(program: Program, given: Given) -> int:
    from backcheck_engine.tools.nbd_settings import ServeSettings
    from backcheck_engine.tools.nbd_start import start

    if len(given.operands) != 1:
        raise ToolError("Invalid number of arguments", hint=_way_to_help(program))
    if given.has("connect") or given.has("disconnect"):
        raise ToolError("Kernel /dev/nbdN support not available")
    return start(ServeSettings.from_command_line(given))


def _list(program: Program, given: Given) -> int:
    import asyncio

    from backcheck_engine.tools.nbd_list import list_exports
    from backcheck_engine.tools.nbd_settings import server_address

    if given.operands:
        raise ToolError("List mode is incompatible with a file name")
    if any(given.has(option) for option in _OF_A_SERVER):
        raise ToolError("List mode is incompatible with per-device settings")
    return asyncio.run(list_exports(program, server_address(given)))


_OF_A_SERVER: Final = (
    "export-name",
    "description",
    "offset",
    "bitmap",
    "allocation-depth",
    "fork",
    "pid-file",
    "snapshot",
)


def _way_to_help(program: Program) -> str:
    return f"Try `{program.name} --help' for more information."


def help_text(program: Program) -> str:
    """What --help shows."""
    lines = [
        f"Usage: {program.name} [OPTION]... FILE",
        f"  or:  {program.name} --list [OPTION]...",
        "Lets clients read and write an image over NBD.",
    ]
    for title, options in GROUPS:
        lines += ["", f"{title}:"]
        for option in options:
            name = f"-{option.short}, --{option.long}" if option.short else f"    --{option.long}"
            shown = f"{name}={option.value}" if option.value else name
            lines.append(f"  {shown:<28} {option.help}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
