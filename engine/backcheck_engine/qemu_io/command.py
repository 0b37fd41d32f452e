"""What a command of the language is: its name, shape and permissions, and how it runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backcheck_engine.block.permissions import Permission
from backcheck_engine.qemu_io.arguments import Arguments, InvalidOption, parse_options
from backcheck_engine.qemu_io.session import Channel, CommandFailed, Session

Runner = Callable[[Session, "Invocation"], Awaitable[None]]


class WrongOption(CommandFailed):
    """An option that the command does not have; getopt's complaint is followed by how the command is used."""

    def __init__(self, complaint: str, usage: str) -> None:
        super().__init__(complaint, Channel.ERROR)
        self.usage = usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. Its words are counted before its options are parsed, as qemu-io does."""

    name: str
    alias: str = ""
    usage: str | None = None
    """Options and operands, as the help shows them."""
    summary: str
    minimum: int = 0
    maximum: int | None = 0
    """How many words may follow the name; None is any number."""
    options: str | None = None
    """The option letters, a colon after each that takes a value; None where a word with a dash is an operand."""
    permissions: Permission = Permission.NONE
    """What the backend must have besides reading; it is taken when the command runs, and kept."""
    needs_file: bool = True
    run: Runner

    def one_line(self) -> str:
        """The help in one line, which is also how a command answers a wrong shape."""
        shape = self.name if self.usage is None else f"{self.name} {self.usage}"
        return f"{shape} -- {self.summary}"

    def count_error(self, typed_name: str, count: int) -> str | None:
        """What is wrong with `count` words after the name, which may have been the alias; or None."""
        if self.minimum <= count and (self.maximum is None or count <= self.maximum):
            return None
        expected = f"between {self.minimum} and {self.maximum}"
        if self.maximum is None:
            expected = f"at least {self.minimum}"
        elif self.maximum == self.minimum:
            expected = f"{self.minimum}"
        return f"bad argument count {count} to {typed_name}, expected {expected} arguments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A command with the words that follow it."""

    command: Command
    typed_name: str
    words: list[str]

    def parse(self) -> Arguments:
        """Options and operands. Raises WrongOption."""
        if self.command.options is None:
            return Arguments(operands=list(self.words))
        try:
            return parse_options(self.words, self.command.options)
        except InvalidOption as error:
            raise WrongOption(f"{self.typed_name}: {error}", self.command.one_line()) from error

    def wrong_shape(self) -> CommandFailed:
        """The failure that shows how the command is used."""
        return CommandFailed(self.command.one_line())
