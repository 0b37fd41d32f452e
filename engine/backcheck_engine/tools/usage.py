"""Subcommands of backcheck-img: what they are called, which options they have, and what a wrong use is answered.

The words are those of the release that the tool imitates.
"""

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from backcheck_engine import release
from backcheck_engine.qemu_io.numbers import INT64_MAX, NotANumber, OutOfRange, parse_size
from backcheck_engine.tools.command_line import CommandLineError, Given, MissingValue, Option, UnknownOption, parse
from backcheck_engine.tools.image_options import check_objects
from backcheck_engine.tools.program import Program, ToolError

_DIFFERENCE: Final = re.compile(r"[+-]\.?\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """One subcommand: its row in the help, its options, and the module that does it."""

    name: str
    summary: str
    usage: str
    options: Sequence[Option]
    run: "Callable[[Invocation], Awaitable[int]]"

    def available_options(self) -> list[Option]:
        """The options that the release has."""
        now = release.current()
        return [option for option in self.options if option.since is None or option.since <= now]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A subcommand with what was given to it."""

    program: Program
    subcommand: Subcommand
    given: Given

    async def run(self) -> int:
        """Do the work; returns the exit status."""
        check_objects(self.given.all("object"))
        return await self.subcommand.run(self)

    @property
    def quiet(self) -> bool:
        """Whether -q was given."""
        return self.given.has("quiet")

    def say(self, line: str) -> None:
        """Put a line on stdout, unless -q was given."""
        if not self.quiet:
            self.program.say(line)

    def misused(self, message: str) -> ToolError:
        """The error for a use that the help explains, with the way to the help."""
        return misused(self.program, message, self.subcommand.name)

    def operands(self, count: int, complaint: str) -> list[str]:
        """The operands, which are `count`. Raises ToolError with `complaint`."""
        if len(self.given.operands) != count:
            raise self.misused(complaint)
        return self.given.operands

    def check_image_options(self, *format_keys: str) -> None:
        """Raise ToolError when --image-opts comes with an option that names a format."""
        if self.given.has("image-opts") and any(map(self.given.has, format_keys)):
            raise ToolError("--image-opts and --format are mutually exclusive")

    def output_is_json(self) -> bool:
        """Whether --output asks for JSON. Raises ToolError for an output that does not exist."""
        wanted = self.given.last("output") or "human"
        if wanted in ("json", "human"):
            return wanted == "json"
        now = release.current()
        if now < release.QEMU_10_0:
            raise ToolError("--output must be used with human or json as argument.")
        comma = "," if now > release.QEMU_10_0 else ""
        raise self.misused(f"--output expects 'human' or 'json'{comma} not '{wanted}'")


def parse_invocation(program: Program, subcommand: Subcommand, words: Sequence[str]) -> Invocation:
    """What was given to a subcommand. Raises ToolError in getopt's words."""
    options = [HELP, *subcommand.available_options()]
    if subcommand.name == "resize" and words and _DIFFERENCE.match(words[-1]):
        # A smaller size, -1G, must not be taken for options.
        words = [*words[:-1], "--", words[-1]]
    try:
        given = parse(words, options)
    except CommandLineError as error:
        raise wrong_option(program, error, subcommand.name) from error
    return Invocation(program=program, subcommand=subcommand, given=given)


def misused(program: Program, message: str, subcommand: str = "") -> ToolError:
    """An error whose hint says where the help is."""
    return ToolError(message, hint=_try_help(program, subcommand))


def wrong_option(program: Program, error: CommandLineError, subcommand: str = "") -> ToolError:
    """The error for an option that a program or its subcommand does not take."""
    if release.current() < release.QEMU_10_0:
        text = str(error)
        if isinstance(error, MissingValue):
            text = f"missing argument for option '{error.word}'"
        elif isinstance(error, UnknownOption):
            text = f"unrecognized option '{error.word}'"
        return misused(program, text)
    called = f"{program.path} {subcommand}" if subcommand else program.path
    return GetoptError(f"{called}: {error}", hint=_try_help(program, subcommand))


class GetoptError(ToolError):
    """A complaint that names the program itself, in getopt's way."""

    def lines(self, name: str) -> str:
        """The complaint and the way to the help."""
        return f"{self.message}\n{self.hint}"


def _try_help(program: Program, subcommand: str) -> str:
    now = release.current()
    if now < release.QEMU_10_0:
        return f"Try '{program.name} --help' for more information"
    called = f"{program.path} {subcommand}" if subcommand else program.path
    return f"Try '{called} --help' for more {'info' if now <= release.QEMU_10_0 else 'information'}"


def size_argument(text: str, what: str) -> int:
    """A number of bytes below 2^63; `what` names it in the error ("start offset"). Raises ToolError."""
    try:
        return parse_size(text)
    except OutOfRange:
        raise ToolError(f"Invalid {what} specified. Must be between 0 and {INT64_MAX}.") from None
    except NotANumber:
        now = release.current()
        if now >= release.QEMU_10_0:
            end = "" if now > release.QEMU_10_0 else "."
            raise ToolError(f"Invalid {what} specified: '{text}'{end}") from None
        raise SuffixesError(what) from None


class SuffixesError(ToolError):
    """A size that is none, as releases before 10.0 say it: in two messages."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Invalid {what} specified. You may use k, M, G, T, P or E suffixes for")

    def lines(self, name: str) -> str:
        """Both messages, each with the program's name."""
        return f"{name}: {self.message}\n{name}: kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes."


def help_text(program: Program, subcommand: Subcommand) -> str:
    """What `--help` of a subcommand shows."""
    called = f"{os.path.basename(program.path)} {subcommand.name}"
    lines = [f"{subcommand.summary}.  Usage:", "", f"  {called} {subcommand.usage}", "", "Arguments:"]
    for option in (HELP, *subcommand.available_options()):
        names = [f"-{option.short}"] if option.short else []
        names += [f"--{option.long}"] if option.long else []
        shown = ", ".join(names)
        lines += [f"  {shown} {option.value}".rstrip(), f"     {option.help}"]
    return "\n".join(lines)


HELP = Option(long="help", short="h", help="show this help and exit")
QUIET = Option(long="quiet", short="q", help="print errors only")
PROGRESS = Option(long="progress", short="p", help="show how far the work is")
FORMAT = Option(long="format", short="f", value="FMT", help="the image's format, which is guessed otherwise")
IMAGE_OPTS = Option(long="image-opts", help="FILENAME is a list of options, driver=qcow2,file.filename=...")
FORCE_SHARE = Option(long="force-share", short="U", help="read an image that another process has open for writing")
OBJECT = Option(long="object", value="OBJDEF", help="accepted as QEMU does: a secret, which nothing here needs")
OUTPUT = Option(long="output", value="human|json", help="for people or for programs")


def renamed(option: Option, *, help: str, long: str | None = None) -> Option:
    """An option with another help, or under another name too."""
    return replace(option, help=help, long=long or option.long)
