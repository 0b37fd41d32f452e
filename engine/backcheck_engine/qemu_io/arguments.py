"""One line as words, and words as options and operands, the way getopt takes them. Pure functions.

Words are separated by blanks and nothing quotes; options may stand anywhere before a `--`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backcheck_engine.qemu_io.numbers import INT64_MAX, NotANumber, OutOfRange, parse_integer, parse_size
from backcheck_engine.qemu_io.session import CommandFailed


@dataclass(slots=True)
class Arguments:
    """What was given to one command; a flag's value is ''. Of an option given twice the last one counts."""

    options: dict[str, str] = field(default_factory=dict)
    operands: list[str] = field(default_factory=list)

    def has(self, letter: str) -> bool:
        """Whether the option was given."""
        return letter in self.options


class InvalidOption(ValueError):
    """An option that the command does not have, or one that lacks its value; the message is getopt's."""


def split_words(line: str) -> list[str]:
    """The words of a command line."""
    return [word for word in re.split(r" +", line) if word]


def parse_options(words: Sequence[str], specification: str) -> Arguments:
    """Options and operands of `words`; a letter of `specification` that takes a value is followed by a colon.

    Raises InvalidOption.
    """
    found = Arguments()
    rest = iter(words)
    for word in rest:
        if word == "--":
            found.operands += rest
        elif word.startswith("-") and word != "-":
            _take_cluster(word[1:], specification, rest, found)
        else:
            found.operands.append(word)
    return found


def _take_cluster(letters: str, specification: str, rest: Iterator[str], found: Arguments) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        at = specification.find(letter) if letter != ":" else -1
        if at < 0:
            raise InvalidOption(f"invalid option -- '{letter}'")
        if specification[at + 1 : at + 2] != ":":
            found.options[letter] = ""
            continue
        value = letters or next(rest, None)
        if value is None:
            raise InvalidOption(f"option requires an argument -- '{letter}'")
        found.options[letter] = value
        return


def size_argument(text: str) -> int:
    """An offset or a length in bytes. Raises CommandFailed in qemu-io's words."""
    try:
        return parse_size(text, INT64_MAX)
    except NotANumber:
        raise CommandFailed(
            f"Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- {text}"
        ) from None
    except OutOfRange:
        raise CommandFailed(f"Parsing error: argument too large -- {text}") from None


def pattern_argument(text: str) -> int:
    """The byte to fill or compare with. Raises CommandFailed in qemu-io's words."""
    value = parse_integer(text)
    if value is None or not 0 <= value <= 0xFF:
        raise CommandFailed(f"{text} is not a valid pattern byte")
    return value
