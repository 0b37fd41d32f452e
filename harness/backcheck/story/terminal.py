"""A terminal: the keys that somebody presses at it, what it shows, and both as text that a person can read.

Only what a line editor needs: the cursor goes left and right, the rest of a line is erased, lines follow each other.
"""

import re
from enum import StrEnum


class Key(StrEnum):
    """Keys that are no letters, as a terminal sends them."""

    ENTER = "\r"
    TAB = "\t"
    BACKSPACE = "\x7f"
    DELETE = "\x1b[3~"
    UP = "\x1b[A"
    DOWN = "\x1b[B"
    RIGHT = "\x1b[C"
    LEFT = "\x1b[D"
    HOME = "\x1b[1~"
    END = "\x1b[4~"

    @staticmethod
    def control(letter: str) -> str:
        """That letter with the Control key: `Key.control("A")`."""
        return chr(ord(letter.upper()) - 0x40)


ERASE_LINE = "\x1b[K"
_NAMES = {ERASE_LINE: "<erase>", **{str(key): f"<{key.name.lower()}>" for key in Key}}
_KEPT = "\r\n"
_PART = re.compile(r"\x1b\[[0-9]*[A-Za-z~]|[\x00-\x1f\x7f]")
_RUN = re.compile(r"(?P<named><[a-z]+>)(?P=named)+")


def readable(text: str, *, typed: bool = False) -> str:
    """Text with names for control characters, `ab<left 2>x^A`. typed: it is keys, so Enter has its name as well."""

    def name(match: re.Match[str]) -> str:
        part = match[0]
        if part in _KEPT and not typed:
            return part
        control = f"^{chr(ord(part[0]) + 0x40)}{part[1:]}" if part != Key.BACKSPACE else ""
        return _NAMES.get(part, control)

    def count(match: re.Match[str]) -> str:
        return f"{match['named'][:-1]} {len(match[0]) // len(match['named'])}>"

    return _RUN.sub(count, _PART.sub(name, text))


def shown_lines(text: str) -> list[str]:
    """The lines that a terminal of any width shows of a text; the last one is that of the cursor."""
    lines, line, column, position = [], "", 0, 0
    while position < len(text):
        match = _PART.match(text, position)
        part = match[0] if match else text[position]
        position += len(part)
        if part == "\n":
            lines.append(line)
            line, column = "", 0
        elif part == "\r":
            column = 0
        elif part == Key.LEFT:
            column = max(0, column - 1)
        elif part == Key.RIGHT:
            column += 1
        elif part == ERASE_LINE:
            line = line[:column]
        elif match is None:
            line = line[:column].ljust(column) + part + line[column + 1 :]
            column += 1
    return [*lines, line]
