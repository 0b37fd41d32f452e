"""Makes JSON values of tokens, with QEMU's words for what is wrong with them.

`MessageParser` finds the messages in a stream; `parse_text` reads one value, as an option on the command line has it.
Numbers are int within 64 bits, signed or unsigned, and float beyond.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from backcheck_engine.errors import OptionError
from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.qapi.json_lexer import MAX_TOKEN_SIZE, Lexer, Token, TokenKind
from backcheck_engine.release import QEMU_11_1, Release

MAX_TOKEN_COUNT: Final = 2 << 20
MAX_NESTING: Final = 1024
_PLAIN_SIZE: Final = 64 << 10
"""Longer messages may have so many tokens that the limits matter."""

_KEYWORDS: Final[dict[bytes, JsonValue]] = {b"true": True, b"false": False, b"null": None}
_OPENING: Final = (b"{", b"[")
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.|$)", re.DOTALL)
_ESCAPED: Final = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_NONCHARACTERS: Final = range(0xFDD0, 0xFDF0)

_WORDS_BEFORE_11: Final = {
    "premature end of input": "premature EOI",
    "expecting key": "expecting value",
    "expecting string key": "key is not a string in object",
    "expecting ':'": "missing : in object pair",
    "expected ',' or '}'": "expected separator in dict",
    "expected ',' or ']'": "expected separator in list",
}


class JsonError(OptionError):
    """What is wrong with a JSON text."""


class Message(NamedTuple):
    """One message of a stream: its value, or what is wrong with it."""

    value: JsonValue = None
    error: JsonError | None = None


class MessageParser:
    """Feed it bytes as they come; it gives each message when its last byte has come."""

    def __init__(self, release: Release) -> None:
        self._lexer = Lexer()
        self._release = release
        self._tokens: list[Token] = []
        self._depths = {b"{": 0, b"[": 0}
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes."""
        if not self._tokens and self._lexer.is_idle and (plain := _plain_object(data)) is not None:
            self._lexer.skip(data)
            yield Message(value=plain)
            return
        for token in self._lexer.feed(data):
            if (message := self._add(token)) is not None:
                self._forget()
                yield message

    def _add(self, token: Token) -> Message | None:
        if token.kind is TokenKind.STRUCTURE:
            self._count(token.text)
        if problem := self._problem(token):
            return Message(error=problem)
        self._tokens.append(token)
        self._size += len(token.text) + 1
        braces, brackets = self._depths.values()
        if (braces > 0 or brackets > 0) and braces >= 0 and brackets >= 0:
            return None
        try:
            return Message(value=_Reader(self._tokens, self._release).read())
        except JsonError as error:
            return Message(error=error)

    def _count(self, text: bytes) -> None:
        if text in _OPENING:
            self._depths[text] += 1
        elif text in b"}]":
            self._depths[b"{" if text == b"}" else b"["] -= 1

    def _problem(self, token: Token) -> JsonError | None:
        if token.kind is TokenKind.STRAY:
            stray = token.text.partition(b"\0")[0].decode("utf-8", "replace")
            return _error(f"stray '{stray}'", token, self._release)
        if token.kind is TokenKind.TOO_LONG or self._size + len(token.text) + 1 > MAX_TOKEN_SIZE:
            return JsonError("JSON token size limit exceeded")
        if len(self._tokens) + 1 > MAX_TOKEN_COUNT:
            return JsonError("JSON token count limit exceeded")
        if sum(self._depths.values()) > MAX_NESTING:
            return JsonError("JSON nesting depth limit exceeded")
        return None

    def _forget(self) -> None:
        self._tokens = []
        self._depths = {b"{": 0, b"[": 0}
        self._size = 0


def parse_text(text: str, release: Release) -> JsonValue:
    """The one JSON value in a text. Raises JsonError."""
    tokens = list(Lexer().feed(text.encode("utf-8", "surrogateescape"), final=True))
    for token in tokens:
        if token.kind is TokenKind.STRAY:
            raise _error(f"stray '{token.text.decode('utf-8', 'replace')}'", token, release)
    if not tokens:
        raise JsonError("Expecting a JSON value")
    reader = _Reader(tokens, release)
    value = reader.read()
    if reader.rest:
        raise JsonError("Expecting at most one JSON value")
    return value


def _plain_object(data: bytes) -> JsonObject | None:
    """The object that `data` is, when it is one that every JSON parser reads alike; None when that takes a look.

    Nearly all messages are such, and the standard library's parser is a hundred times as fast as the lexer.
    """
    if len(data) > _PLAIN_SIZE or not data.startswith(b"{") or b"\\u" in data:
        return None
    if data.count(b"{") + data.count(b"[") > MAX_NESTING:
        return None
    try:
        value: JsonValue = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_int=_integer, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError
    return members


def _integer(text: str) -> int | float:
    return _number(text.encode())


def _refuse(name: str) -> JsonValue:
    raise ValueError(name)


class _Reader:
    """Reads one value; nesting costs no recursion."""

    def __init__(self, tokens: list[Token], release: Release) -> None:
        self._tokens = iter(tokens)
        self._release = release
        self._ahead: Token | None = next(self._tokens, None)
        self._last = tokens[-1] if tokens else None

    @property
    def rest(self) -> bool:
        """Whether tokens are left."""
        return self._ahead is not None

    def read(self) -> JsonValue:
        open_values: list[dict[str, JsonValue] | list[JsonValue]] = []
        keys: list[str] = []
        while True:
            value = self._value()
            if isinstance(value, dict | list) and not self._closes(value):
                open_values.append(value)
                keys.append(self._key(value) if isinstance(value, dict) else "")
                continue
            while open_values:
                outer = open_values[-1]
                if isinstance(outer, dict):
                    outer[keys[-1]] = value
                else:
                    outer.append(value)
                if not self._ends(outer):
                    keys[-1] = self._key(outer) if isinstance(outer, dict) else ""
                    break
                value = outer
                open_values.pop()
                keys.pop()
            else:
                return value

    def _take(self) -> Token:
        token = self._ahead
        if token is None:
            last = self._last
            end = last._replace(column=last.column + len(last.text)) if last else None
            raise _error("premature end of input", end, self._release)
        self._ahead = next(self._tokens, None)
        return token

    def _fail(self, problem: str, token: Token) -> JsonError:
        return _error(problem, token, self._release)

    def _closes(self, value: dict[str, JsonValue] | list[JsonValue]) -> bool:
        """Whether an object or array that has just begun ends at once."""
        if self._ahead and self._ahead.text == (b"}" if isinstance(value, dict) else b"]"):
            self._take()
            return True
        return False

    def _ends(self, outer: dict[str, JsonValue] | list[JsonValue]) -> bool:
        """Takes what follows a value in `outer`: its end, or a separator."""
        end = "}" if isinstance(outer, dict) else "]"
        token = self._take()
        if token.text == end.encode():
            return True
        if token.text != b",":
            raise self._fail(f"expected ',' or '{end}'", token)
        return False

    def _key(self, outer: dict[str, JsonValue]) -> str:
        token = self._take()
        if token.kind is not TokenKind.STRING:
            raise self._wrong_key(token)
        key = self._text(token)
        colon = self._take()
        if colon.text != b":":
            raise self._fail("expecting ':'", colon)
        if key in outer:
            raise self._fail("duplicate key", self._ahead or token)
        return key

    def _wrong_key(self, token: Token) -> JsonError:
        if self._release < QEMU_11_1:
            if token.kind is TokenKind.KEYWORD and token.text not in _KEYWORDS:
                return self._fail(f"invalid keyword '{token.text.decode()}'", token)
            if token.kind is not TokenKind.STRUCTURE or token.text in _OPENING:
                return self._fail("expecting string key", token)
        return self._fail("expecting key", token)

    def _value(self) -> JsonValue:
        """A scalar, or an object or array that has just begun."""
        token = self._take()
        if token.kind is TokenKind.STRING:
            return self._text(token)
        if token.kind is TokenKind.NUMBER:
            return _number(token.text)
        if token.kind is TokenKind.KEYWORD:
            if token.text not in _KEYWORDS:
                raise self._fail(f"invalid keyword '{token.text.decode()}'", token)
            return _KEYWORDS[token.text]
        if token.text not in _OPENING:
            raise self._fail("expecting value", token)
        return {} if token.text == b"{" else []

    def _text(self, token: Token) -> str:
        """The text of a string token, escapes resolved."""
        try:
            text = token.text[1:-1].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._fail("invalid UTF-8 sequence in string", token) from error
        if "\\" not in text:
            return text

        def unescape(match: re.Match[str]) -> str:
            code = match[1]
            if len(code) == 5:
                return chr(int(code[1:], 16))
            if code not in _ESCAPED:
                raise self._fail("invalid escape sequence in string", token)
            return _ESCAPED[code]

        return self._paired(_ESCAPE.sub(unescape, text), token)

    def _paired(self, text: str, token: Token) -> str:
        """Joins surrogates that were written as two escapes; one alone is an error."""
        try:
            paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError as error:
            lone = int.from_bytes(error.object[error.start : error.start + 2], "little")
            raise self._fail(f"\\u{lone:04x} is not a valid Unicode character", token) from error
        for character in paired:
            if ord(character) in _NONCHARACTERS or ord(character) & 0xFFFE == 0xFFFE:
                raise self._fail(f"\\u{ord(character):04x} is not a valid Unicode character", token)
        return paired


def _number(text: bytes) -> int | float:
    try:
        value = int(text)
    except ValueError:
        return float(text)
    return value if -(1 << 63) <= value < 1 << 64 else float(text)


def _error(problem: str, token: Token | None, release: Release) -> JsonError:
    if release < QEMU_11_1:
        return JsonError(f"JSON parse error, {_WORDS_BEFORE_11.get(problem, problem)}")
    place = f"{token.line}:{token.column}: " if token else ""
    return JsonError(f"{place}JSON parse error, {problem}")
