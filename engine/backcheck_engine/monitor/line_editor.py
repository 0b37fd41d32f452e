"""Editing a line, key by key, and what a terminal has to be told so that it shows the line.

The keys are those of the human monitor: letters, backspace, arrows, Home, End, Delete, ^A ^E ^D ^W, Tab, and Up and
Down for earlier lines. Sans I/O: bytes in, texts and finished lines out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

MAX_LINE: Final = 4095
MAX_HISTORY: Final = 64
_FORWARD, _BACK, _CLEAR = "\x1b[C", "\x1b[D", "\x1b[K"
_SEQUENCES: Final = {"A": "up", "B": "down", "C": "forward", "D": "back", "F": "end", "H": "home"}
"""What follows ESC [ or ESC O."""
_NUMBERED: Final = {1: "home", 3: "delete", 4: "end"}
"""What ESC [ NUMBER ~ is."""
_MAX_NUMBER: Final = 9999
_CONTROLS: Final = {
    0x01: "home",
    0x04: "delete",
    0x05: "end",
    0x08: "backspace",
    0x09: "complete",
    0x17: "erase_word",
    0x7F: "backspace",
}
_FIRST_PRINTABLE: Final = 0x20

Complete: TypeAlias = Callable[[str], list[str]]
"""The words that may stand at the end of a line that begins so."""


class LineEditor:
    """One line at a time. `complete` knows what Tab may offer; `prompt` begins each line."""

    def __init__(self, prompt: str, complete: Complete) -> None:
        self._prompt: Final = prompt
        self._complete: Final = complete
        self._history: list[str] = []
        self._history_at = -1
        """Which earlier line is shown; -1 for a line of one's own."""
        self._line = self._shown = ""
        self._cursor = self._shown_cursor = 0
        self._escape = ""
        """What has come of an escape sequence."""

    def begin(self) -> str:
        """Begin a new line; the text that shows its prompt."""
        self._line = self._shown = ""
        self._cursor = self._shown_cursor = 0
        self._history_at = -1
        self._escape = ""
        return self._prompt

    def key(self, byte: int) -> tuple[str, str | None]:
        """(what to show, the line if that key ended it)."""
        if self._escape:
            return self._in_escape(chr(byte)), None
        if byte in (0x0A, 0x0D):
            self._remember(self._line)
            return "\r\n", self._line
        if byte == 0x1B:
            self._escape = "\x1b"
            return "", None
        action = _CONTROLS.get(byte)
        if action is not None:
            return self._do(action), None
        if byte >= _FIRST_PRINTABLE:
            self._insert(chr(byte))
        return self._update(), None

    def _in_escape(self, character: str) -> str:
        self._escape += character
        if self._escape in ("\x1b[", "\x1bO"):
            return ""
        rest = self._escape[2:]
        if self._escape[1] == "[" and rest and rest.isdecimal():
            self._escape = f"\x1b[{min(int(rest), _MAX_NUMBER)}"
            return ""
        action = None
        if rest in _SEQUENCES:
            action = _SEQUENCES[rest]
        elif rest.endswith("~") and rest[:-1].isdecimal():
            action = _NUMBERED.get(int(rest[:-1]))
        self._escape = ""
        return self._do(action) if action else ""

    def _do(self, action: str) -> str:
        """Do what a key means; what to show."""
        text = ""
        match action:
            case "home":
                self._cursor = 0
            case "end":
                self._cursor = len(self._line)
            case "forward":
                self._cursor = min(self._cursor + 1, len(self._line))
            case "back":
                self._cursor = max(self._cursor - 1, 0)
            case "delete":
                self._erase(self._cursor, self._cursor + 1)
            case "backspace":
                self._erase(self._cursor - 1, self._cursor)
            case "erase_word":
                self._erase(self._word_start(), self._cursor)
            case "up":
                self._recall(self._history_at + 1 if self._history_at >= 0 else 0)
            case "down":
                self._recall(self._history_at - 1)
            case "complete":
                text = self._complete_word()
        return text + self._update()

    # The line.

    def _insert(self, text: str) -> None:
        if len(self._line) + len(text) <= MAX_LINE:
            self._line = self._line[: self._cursor] + text + self._line[self._cursor :]
            self._cursor += len(text)

    def _erase(self, start: int, end: int) -> None:
        if 0 <= start < min(end, len(self._line)):
            self._line = self._line[:start] + self._line[end:]
            self._cursor = start

    def _word_start(self) -> int:
        before = self._line[: self._cursor].rstrip(" ")
        return before.rfind(" ") + 1

    def _remember(self, line: str) -> None:
        """The newest line first; one that was there moves to the front."""
        if line:
            if line in self._history:
                self._history.remove(line)
            self._history.insert(0, line)
            del self._history[MAX_HISTORY:]

    def _recall(self, position: int) -> None:
        if -1 <= position < len(self._history) and (position >= 0 or self._history_at >= 0):
            self._history_at = position
            self._line = self._history[position] if position >= 0 else ""
            self._cursor = len(self._line)

    def _complete_word(self) -> str:
        """Complete the word before the cursor as far as it is certain; where that is not all, list what it may be."""
        before = self._line[: self._cursor]
        word = before[before.rfind(" ") + 1 :]
        offers = self._complete(before)
        if not offers:
            return ""
        if len(offers) == 1:
            self._insert(offers[0][len(word) :] + " ")
            return ""
        common = _common_start(offers)
        self._insert(common[len(word) :])
        shown = "\r\n" + _in_columns(offers) + self._prompt
        self._shown, self._shown_cursor = "", 0
        return shown

    # The terminal.

    def _update(self) -> str:
        """What makes the terminal show the line and the cursor as they are now."""
        text = ""
        if self._line != self._shown:
            text = _BACK * self._shown_cursor + self._line + _CLEAR
            self._shown, self._shown_cursor = self._line, len(self._line)
        steps = self._cursor - self._shown_cursor
        self._shown_cursor = self._cursor
        return text + (_FORWARD * steps if steps > 0 else _BACK * -steps)


def _common_start(words: list[str]) -> str:
    first, last = min(words), max(words)
    length = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )
    return first[:length]


def _in_columns(words: list[str]) -> str:
    """Words in columns that fill a line of 80."""
    width = max(10, max(len(word) for word in words) + 2)
    columns = max(1, 80 // width)
    text = ""
    for index, word in enumerate(words, 1):
        is_last = index % columns == 0 or index == len(words)
        text += f"{word:<{width}}" + ("\r\n" if is_last else "")
    return text
