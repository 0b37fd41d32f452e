"""Reads a line of the human monitor: the command's words by its argument types, with QEMU's words for what is wrong.

Argument types are written as in "nodes:-n,verbose:-v,device:B?": a flag, a block device's name (B), any text (s), a
filename (F), the rest of the line (S), a size in bytes with MiB as its unit (o), a whole number (l), on or off (b); `?`
makes it optional. Flags come first and in this order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backcheck_engine.errors import EngineError

_EXPECTED: Final = {"B": "block device name expected", "s": "string expected", "F": "filename expected"}
_ESCAPES: Final = {"n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([bBkKmMgGtTpPeE]?)")
_SHIFTS: Final = {"b": 0, "k": 10, "": 20, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_MAX_SIZE: Final = (1 << 63) - 1


class HmpError(EngineError):
    """What the human monitor says instead of running a command; `printed` goes to the program's standard output."""

    def __init__(self, message: str, printed: str = "") -> None:
        super().__init__(message)
        self.printed = printed


def error_text(error: EngineError) -> str:
    """An error and its hint, each on a line."""
    return f"{error.message}\n" + (f"{error.hint}\n" if error.hint else "")


class _QuoteError(Exception):
    """What is wrong with a word in quotes, in QEMU's words."""


class ArgumentType(NamedTuple):
    """One argument of a command: its name, its type's letter, or the letter of a flag."""

    name: str
    letter: str
    is_flag: bool
    is_optional: bool


@dataclass(slots=True, kw_only=True)
class HmpArguments:
    """The arguments of one line."""

    texts: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)


def parse_types(specification: str) -> list[ArgumentType]:
    """The types that "name:type,…" tells."""
    types = []
    for part in specification.split(",") if specification else ():
        name, _, letters = part.partition(":")
        is_flag = letters.startswith("-")
        types.append(ArgumentType(name, letters.lstrip("-")[0], is_flag, letters.endswith("?")))
    return types


def parse_arguments(command: str, specification: str, text: str) -> HmpArguments:
    """The arguments in `text`. Raises HmpError, whose message names the command."""
    arguments = HmpArguments()
    types = parse_types(specification)
    for position, kind in enumerate(types):
        text = text.lstrip(" ")
        if kind.is_flag:
            text = _take_flag(command, kind, types[position + 1 :], text, arguments)
            continue
        if not text and kind.is_optional:
            continue
        if kind.letter == "S":
            arguments.texts[kind.name], text = text.rstrip(" "), ""
            continue
        if kind.letter in _NUMBERS:
            arguments.sizes[kind.name], text = _NUMBERS[kind.letter](text)
            continue
        try:
            word, text = _take_word(text)
        except _QuoteError as error:
            expected = _EXPECTED.get(kind.letter, _EXPECTED["s"])
            raise HmpError(f"{command}: {expected}", f"{error}\n") from error
        if kind.letter == "b":
            if word not in ("on", "off"):
                raise HmpError("Expected 'on' or 'off'")
            arguments.flags |= {kind.name} if word == "on" else set()
        elif word is None:
            raise HmpError(f"{command}: {_EXPECTED[kind.letter]}")
        else:
            arguments.texts[kind.name] = word
    if text.strip(" "):
        raise HmpError(f"{command}: extraneous characters at the end of line")
    return arguments


def _take_flag(command: str, kind: ArgumentType, later: list[ArgumentType], text: str, arguments: HmpArguments) -> str:
    if not text.startswith("-"):
        return text
    letter = text[1:2]
    if letter == kind.letter:
        arguments.flags.add(kind.name)
        return text[2:]
    if not any(other.is_flag and other.letter == letter for other in later):
        raise HmpError(f"{command}: unsupported option -{letter}")
    return text


def _take_word(text: str) -> tuple[str | None, str]:
    """The first word, quoted or not, and the rest; None when there is none. Raises _QuoteError."""
    if not text:
        return None, ""
    if not text.startswith('"'):
        word, _, rest = text.partition(" ")
        return word, rest
    word, position = "", 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            position += 1
            escape = text[position : position + 1]
            if escape not in _ESCAPES:
                raise _QuoteError(f"unsupported escape code: '\\{escape}'")
            word += _ESCAPES[escape]
        else:
            word += text[position]
        position += 1
    if position >= len(text):
        raise _QuoteError("unterminated string")
    return word, text[position + 1 :]


def _take_number(text: str) -> tuple[int, str]:
    """The expression that `text` begins with, and what follows."""
    from backcheck_engine.monitor.hmp_expression import ExpressionError, take_expression

    try:
        return take_expression(text)
    except ExpressionError as error:
        raise HmpError(str(error)) from error


def _take_size(text: str) -> tuple[int, str]:
    """The size that `text` begins with, and what follows."""
    match = _SIZE.match(text)
    if not match:
        raise HmpError("invalid size")
    whole, _, fraction = match[1].partition(".")
    whole = whole.lstrip("0") or "0"
    if len(whole) > len(str(_MAX_SIZE)):
        # Python refuses to read numbers of some thousand digits.
        raise HmpError("invalid size")
    unit = 1 << _SHIFTS[match[2].lower()]
    size = int(whole) * unit + int(float(f"0.{fraction}") * unit)
    if size > _MAX_SIZE or (unit == 1 and fraction.strip("0")):
        raise HmpError("invalid size")
    return size, text[match.end() :]


_NUMBERS: Final = {"o": _take_size, "l": _take_number}
"""How a number of each type is read."""
