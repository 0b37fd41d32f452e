"""Cuts a stream of bytes into JSON tokens, as leniently and as strictly as QEMU does.

Lenient: strings may have single quotes, and no separator is needed between two values. Strict: control characters are
refused in strings, and `%` is refused everywhere. After an error the lexer skips to the next structural or control
character, so that a client can bring it back into a known state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

MAX_TOKEN_SIZE: Final = 64 << 20


class TokenKind(Enum):
    STRUCTURE = "structure"
    STRING = "string"
    NUMBER = "number"
    KEYWORD = "keyword"
    STRAY = "stray"
    """Bytes that begin no token."""
    TOO_LONG = "too long"
    """A token that outgrew `MAX_TOKEN_SIZE`."""


class Token(NamedTuple):
    """A piece of the input; line and column count from 1 since the lexer began."""

    kind: TokenKind
    text: bytes
    line: int
    column: int


_STRUCTURE: Final = b"{}[]:,"
_SPACE: Final = re.compile(rb"[ \t\r\n]+")
_KEYWORD: Final = re.compile(rb"[a-z]+")
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_SO_FAR: Final = re.compile(rb"-?(?:0|[1-9][0-9]*(?:\.[0-9]*)?(?:(?<=[0-9])[eE][+-]?[0-9]*)?|)")
_ZERO_SO_FAR: Final = re.compile(rb"-?0(?:\.[0-9]*)?(?:(?<=[0-9])[eE][+-]?[0-9]*)?")
_STRING_BODY: Final = {
    quote: re.compile(rb"(?:[^%b\\\x00-\x1f\xfe\xff]+|\\[^\x00-\x1f\xfe\xff])*" % quote) for quote in (b'"', b"'")
}
_RECOVERY: Final = re.compile(rb"[^{}\[\]:,\x00-\x08\x0a-\x1f\xfe\xff]*")


class Lexer:
    """Feed it bytes as they come; it gives each token as soon as its end is known."""

    def __init__(self) -> None:
        self._input = bytearray()
        self._position = 0
        self._string_scanned = 0
        """Where to go on looking for the end of an unfinished string; 0 when there is none."""
        self._recovering = False
        self._from_recovery = False
        self._line = 1
        self._line_start = 0
        """Where in the input the current line begins; negative when it began in a part already dropped."""

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[Token]:
        """The tokens that `data` completes; with `final` nothing follows, so that a number or keyword may end it."""
        self._input += data
        while self._position < len(self._input):
            if self._recovering:
                self._recover()
                continue
            if space := _SPACE.match(self._input, self._position):
                self._count_lines(space.end())
                self._position = space.end()
                continue
            token = self._next(final)
            if token is None:
                break
            yield token
        self._drop_consumed()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for more input."""
        return not self._input and not self._recovering

    def skip(self, data: bytes) -> None:
        """Count `data` as consumed by somebody else; only while idle."""
        self._input += data
        self._count_lines(len(data))
        self._position = len(data)
        self._drop_consumed()

    def _next(self, final: bool) -> Token | None:
        """The token at the position; None when its end is not known yet."""
        first = bytes(self._input[self._position : self._position + 1])
        if first in _STRUCTURE:
            return self._take(TokenKind.STRUCTURE, self._position + 1)
        if first in _STRING_BODY:
            return self._string(first, final)
        if first.isalpha() and (keyword := _KEYWORD.match(self._input, self._position)):
            return self._open_ended(TokenKind.KEYWORD, keyword.end(), final)
        if number := _NUMBER.match(self._input, self._position):
            return self._number(number.end(), final)
        if first == b"-":
            return self._stray(self._position + 1, final)
        return self._stray(self._position, final)

    def _string(self, quote: bytes, final: bool) -> Token | None:
        body = _STRING_BODY[quote].match(self._input, max(self._string_scanned, self._position + 1))
        assert body
        end = body.end()
        following = self._input[end : end + 1]
        if following == quote:
            return self._take(TokenKind.STRING, end + 1)
        if following == b"\\" and end + 1 < len(self._input):
            return self._stray(end + 1, final)
        if following and following != b"\\":
            return self._stray(end, final)
        if final:
            return self._stray(len(self._input), final)
        if len(self._input) - self._position > MAX_TOKEN_SIZE:
            return self._take(TokenKind.TOO_LONG, len(self._input))
        self._string_scanned = end
        return None

    def _number(self, end: int, final: bool) -> Token | None:
        if bytes(self._input[end : end + 1]) in (b".", b"e", b"E") or (
            self._input[end - 1 : end] == b"0" and self._input[end : end + 1].isdigit()
        ):
            so_far = _ZERO_SO_FAR.match(self._input, self._position) or _NUMBER_SO_FAR.match(
                self._input, self._position
            )
            assert so_far
            return self._stray(so_far.end(), final)
        return self._open_ended(TokenKind.NUMBER, end, final)

    def _open_ended(self, kind: TokenKind, end: int, final: bool) -> Token | None:
        """A token that only what follows it ends."""
        if end == len(self._input) and not final:
            return None if end - self._position <= MAX_TOKEN_SIZE else self._take(TokenKind.TOO_LONG, end)
        return self._take(kind, end)

    def _stray(self, wrong: int, final: bool) -> Token | None:
        """What lies before `wrong` and the byte there, which make no token; None when that byte is yet to come."""
        if wrong >= len(self._input) and not final:
            return None
        self._recovering = True
        return self._take(TokenKind.STRAY, min(wrong + 1, len(self._input)))

    def _take(self, kind: TokenKind, end: int) -> Token:
        text = bytes(self._input[self._position : end])
        column = self._position - self._line_start + 1 + self._from_recovery
        token = Token(kind, text, self._line, column)
        self._from_recovery = False
        self._string_scanned = 0
        self._count_lines(end)
        self._position = end
        return token

    def _recover(self) -> None:
        skipped = _RECOVERY.match(self._input, self._position)
        assert skipped
        self._position = skipped.end()
        if self._position < len(self._input):
            self._recovering = False
            self._from_recovery = True
            if self._input[self._position] < 0x20:
                self._count_lines(self._position + 1)
                self._position += 1
                self._from_recovery = False

    def _count_lines(self, end: int) -> None:
        lines = self._input.count(b"\n", self._position, end)
        if lines:
            self._line += lines
            self._line_start = self._input.rindex(b"\n", self._position, end) + 1

    def _drop_consumed(self) -> None:
        del self._input[: self._position]
        self._line_start -= self._position
        self._string_scanned = max(0, self._string_scanned - self._position)
        self._position = 0
