"""JSON values as a golden's line shows them: `key=value` pairs, and the way back.

    type=backup len=131072 error="Input/output error"
    actions[0].type=drive-backup actions[0].data.sync=full     nested keys are dotted, list items indexed
    [0].id=job0 [1].id=job1                                     a list at the top
    backing={} children=[]                                      empty ones
    offset=(asserted)                                           a value that the case asserts inline

A string is quoted, as JSON quotes it, unless it is a plain word and could not be read as something else. Numbers are
exact. Nothing here knows what the values mean; only the order of keys follows the QAPI schema.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from backcheck.errors import GoldenError
from backcheck.json_types import JsonObject, JsonValue

# The order of keys in QAPI's structs (BlockJobInfo, JobInfo, BlockDirtyInfo, the job events), merged into one. Replies
# come in the order of QEMU's hash tables, which no client may rely on. Keys that are not here follow, alphabetically.
SCHEMA_ORDER = (
    "name",
    "id",
    "type",
    "device",
    "node-name",
    "driver",
    "drv",
    "file",
    "target",
    "len",
    "offset",
    "count",
    "granularity",
    "recording",
    "busy",
    "paused",
    "speed",
    "io-status",
    "ready",
    "status",
    "auto-finalize",
    "auto-dismiss",
    "current-progress",
    "total-progress",
    "operation",
    "action",
    "persistent",
    "inconsistent",
    "start",
    "length",
    "depth",
    "zero",
    "data",
    "error",
)
ASSERTED_TEXT = "(asserted)"

Path: TypeAlias = tuple[str | int, ...]

_RANK = {key: rank for rank, key in enumerate(SCHEMA_ORDER)}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_WORD = re.compile(r"[A-Za-z0-9_.:/-]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_INDEX = re.compile(r"\[(0|[1-9][0-9]*)\]")
_CONSTANTS: dict[str, JsonValue] = {"null": None, "true": True, "false": False}


def render_values(value: JsonObject | Sequence[JsonValue], asserted: Sequence[str] = (), *, sort: bool = True) -> str:
    """An object or a list as `key=value` pairs; top-level keys in `asserted` read `(asserted)`.

    sort: keys in schema order; otherwise as the mapping has them.
    """
    if not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    return " ".join(_pairs(value, "", frozenset(asserted), sort))


def render_scalar(value: JsonValue, *, quote: bool = False) -> str:
    """A string, number, true, false or null. quote: a string is always quoted."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise GoldenError(f"{value} is not a number that JSON has")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if not quote and is_word(value) else json.dumps(value)
    raise GoldenError(f"{type(value).__name__} is not a value that JSON has")


def is_word(text: str) -> bool:
    """Whether a string needs no quotes."""
    return bool(_BARE_WORD.fullmatch(text)) and text not in _CONSTANTS and not _NUMBER.fullmatch(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedValues:
    """What a text of pairs says. An asserted key stands in `value` as None."""

    value: JsonValue
    asserted: tuple[str, ...] = ()


def parse_values(text: str, where: str | None = None) -> ParsedValues:
    """Reads what `render_values` or a quoted `render_scalar` wrote. Raises GoldenError naming what is wrong."""
    if text in ("{}", "[]"):
        return ParsedValues(value={} if text == "{}" else [])
    if _QUOTED.fullmatch(text) or "=" not in text:
        return ParsedValues(value=parse_scalar(text, where))
    tree = _Tree(where)
    asserted: list[str] = []
    for path, value_text in _split_pairs(text, where):
        if value_text == ASSERTED_TEXT:
            if len(path) != 1 or not isinstance(path[0], str):
                raise GoldenError("only a top-level key can be (asserted)", where)
            asserted.append(path[0])
        tree.put(path, _parse_value(value_text, where))
    return ParsedValues(value=tree.value(), asserted=tuple(sorted(asserted)))


def parse_scalar(text: str, where: str | None = None) -> JsonValue:
    """Reads what `render_scalar` wrote."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if number := _NUMBER.fullmatch(text):
        return float(text) if number[1] or number[2] else int(text)
    if _BARE_WORD.fullmatch(text):
        return text
    if _QUOTED.fullmatch(text):
        try:
            return str(json.loads(text))
        except ValueError as error:
            raise GoldenError(f"{text} is not a string: {error}", where) from error
    raise GoldenError(f"{text!r} is not a value; a string with such characters is quoted", where)


def _pairs(value: JsonValue, prefix: str, asserted: frozenset[str], sort: bool) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key in sorted(value, key=_schema_rank) if sort else value:
            path = f"{prefix}.{_render_key(key)}" if prefix else _render_key(key)
            if not prefix and key in asserted:
                yield f"{path}={ASSERTED_TEXT}"
            else:
                yield from _pairs(value[key], path, asserted, sort)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, item in enumerate(value):
            yield from _pairs(item, f"{prefix}[{index}]", asserted, sort)
    elif isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        yield f"{prefix}={'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield f"{prefix}={render_scalar(value)}"


def _schema_rank(key: str) -> tuple[int, str]:
    return _RANK.get(key, len(_RANK)), key


def _render_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)


def _split_pairs(text: str, where: str | None) -> Iterator[tuple[Path, str]]:
    """The path and the text of the value of each pair."""
    position = 0
    while True:
        path, position = _take_path(text, position, where)
        quoted = _QUOTED.match(text, position)
        end = quoted.end() if quoted else _word_end(text, position)
        yield path, text[position:end]
        if end == len(text):
            return
        if text[end] != " ":
            raise GoldenError(f"a space is missing before '{text[end:]}'", where)
        position = end + 1


def _word_end(text: str, position: int) -> int:
    end = text.find(" ", position)
    return len(text) if end < 0 else end


def _take_path(text: str, position: int, where: str | None) -> tuple[Path, int]:
    """Reads `a.b[0]=` and returns the path and the place after the equals sign."""
    path: list[str | int] = []
    start = position
    while position < len(text) and text[position] != "=":
        if match := _INDEX.match(text, position):
            path.append(int(match[1]))
        else:
            after_dot = position + (1 if path and text[position] == "." else 0)
            quoted = _QUOTED.match(text, after_dot)
            match = quoted or _BARE_KEY.match(text, after_dot)
            if match is None or (path and after_dot == position):
                raise GoldenError(f"'{text[start:]}' does not begin with key=", where)
            path.append(str(parse_scalar(match[0], where)) if quoted else match[0])
        position = match.end()
    if not path or position >= len(text):
        raise GoldenError(f"'{text[start:]}' does not begin with key=", where)
    return tuple(path), position + 1


def _parse_value(text: str, where: str | None) -> JsonValue:
    if text == ASSERTED_TEXT:
        return None
    if text in ("{}", "[]"):
        return {} if text == "{}" else []
    return parse_scalar(text, where)


class _Branch(dict[str | int, "_Branch | JsonValue"]):
    """A dict that grew from paths, told apart from a leaf that is an empty object."""


class _Tree:
    """Puts values at their paths together: an object where keys are names, a list where they count from 0."""

    def __init__(self, where: str | None) -> None:
        self._where = where
        self._root = _Branch()

    def put(self, path: Path, value: JsonValue) -> None:
        node = self._root
        for key in path[:-1]:
            below = node.setdefault(key, _Branch())
            if not isinstance(below, _Branch):
                raise GoldenError(f"'{key}' is both a value and has values below it", self._where)
            node = below
        if path[-1] in node:
            raise GoldenError(f"'{path[-1]}' is given twice", self._where)
        node[path[-1]] = value

    def value(self) -> JsonValue:
        return self._collect(self._root)

    def _collect(self, node: "_Branch | JsonValue") -> JsonValue:
        if not isinstance(node, _Branch):
            return node
        if all(isinstance(key, str) for key in node):
            return {str(key): self._collect(below) for key, below in node.items()}
        if list(node) != list(range(len(node))):
            raise GoldenError("the items of a list count from [0] without gaps", self._where)
        return [self._collect(below) for below in node.values()]
