"""backcheck-img: the program with qemu-img's command line. Subcommands live in modules of their own, imported late."""

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import backcheck_engine.quick_start  # noqa: F401 - must come before anything that imports asyncio
from backcheck_engine import release
from backcheck_engine.tools.command_line import CommandLineError, Option, parse
from backcheck_engine.tools.program import Program, ToolError, run

if TYPE_CHECKING:
    from backcheck_engine.tools.usage import Subcommand

NAME: Final = "backcheck-img"
SUMMARIES: Final = {
    "bitmap": "Add, remove and change the persistent dirty bitmaps of an image",
    "check": "See whether an image's metadata is consistent",
    "commit": "Write an overlay's content into an image below it",
    "compare": "See whether two images have the same content",
    "convert": "Copy images into a new one, of any format",
    "create": "Make a new image",
    "info": "Show what an image is",
    "map": "Show where an image keeps its data",
    "rebase": "Give an overlay another backing file",
    "resize": "Give an image another size",
}
"""The subcommands there are; each is the module img_NAME."""
NOT_IMPLEMENTED: Final = ("amend", "bench", "dd", "measure", "snapshot")
"""What qemu-img has besides."""
OPTIONS: Final = (
    Option(long="help", short="h", help="show this help and exit"),
    Option(long="version", short="V", help="show the version and exit"),
    Option(long="trace", short="T", value="TRACE", help="accepted, traces nothing"),
)


def main() -> int:
    """Run the program on sys.argv; returns its exit status."""
    program = Program(NAME)
    return run(program, lambda: _start(program, sys.argv[1:]))


def _start(program: Program, arguments: Sequence[str]) -> int:
    try:
        given = parse(arguments, OPTIONS, stop_at_operand=True)
    except CommandLineError as error:
        from backcheck_engine.tools.usage import wrong_option

        raise wrong_option(program, error) from error
    if given.has("help"):
        program.say(help_text(program))
        return 0
    if given.has("version"):
        program.say(version_text(program))
        return 0
    if not given.operands:
        from backcheck_engine.tools.usage import misused

        raise misused(program, "Not enough arguments")
    return _run_subcommand(program, given.operands[0], given.operands[1:])


def _run_subcommand(program: Program, name: str, words: Sequence[str]) -> int:
    from backcheck_engine.tools.usage import help_text as subcommand_help
    from backcheck_engine.tools.usage import misused, parse_invocation

    if name in NOT_IMPLEMENTED:
        raise ToolError(f"{name} is not implemented")
    if name not in SUMMARIES:
        raise misused(program, f"Command not found: {name}")
    subcommand = load(name)
    invocation = parse_invocation(program, subcommand, words)
    if invocation.given.has("help"):
        program.say(subcommand_help(program, subcommand))
        return 0
    import asyncio

    return asyncio.run(invocation.run())


def load(name: str) -> "Subcommand":
    """The subcommand `name`, from its module."""
    from backcheck_engine.tools.usage import Subcommand

    module = importlib.import_module(f"backcheck_engine.tools.img_{name}")
    return Subcommand(name=name, summary=SUMMARIES[name], usage=module.USAGE, options=module.OPTIONS, run=module.run)


def version_text(program: Program) -> str:
    """What --version shows: the release whose behaviour the program has, and whose program it is."""
    return f"{program.name} version {release.current()}.0 (Backcheck)"


def help_text(program: Program) -> str:
    """What --help shows."""
    from backcheck_engine.drivers.registry import all_names

    lines = [version_text(program), "Makes, changes and examines disk images.  Usage:", ""]
    lines += [f"  {program.name} [standard options] COMMAND [--help | command options]", "", "Standard options:"]
    for option in OPTIONS:
        name = f"-{option.short}, --{option.long}"
        lines += [f"  {name} {option.value}".rstrip(), f"     {option.help}"]
    lines += ["", f"Recognized commands (run {program.name} COMMAND --help for command-specific help):", ""]
    lines += [f"  {name} - {summary}" for name, summary in SUMMARIES.items()]
    lines += ["", f"Not implemented: {', '.join(NOT_IMPLEMENTED)}"]
    lines += ["", "Supported image formats:", "", f"  {' '.join(sorted(all_names()))}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
