"""Reads the schema's own notation: the files in `schema/`.

A definition begins in the first column and ends at an empty line; `#` begins a comment line.

    command NAME [: BASE] [-> TYPE] [MARKS]       what follows are members, in the order in which they are checked
    event NAME [: BASE] [MARKS]
    struct NAME [: BASE] [MARKS]
    union NAME [: BASE] by TAG [MARKS]            with lines `= VALUE: STRUCT`, the branches
    alternate NAME
    enum NAME                                     with several values a line, or one a line when it has marks

    member?: TYPE [MARKS]                         `?` when it is optional; `[TYPE]` is a list

MARKS are `since 9.1`, `until 7.2` (the first release without) and features: `[deprecated since 6.2]`; of a command also
`unchecked`: it reads its arguments itself. NAME/old is how a command was that is NAME since; that has `until`.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from backcheck_engine.qapi.types import (
    ALWAYS,
    Alternate,
    Command,
    Definition,
    Enumeration,
    EnumValue,
    Event,
    Feature,
    Member,
    Span,
    Struct,
)
from backcheck_engine.release import Release

OLD: Final = "/old"

_HEAD: Final = re.compile(
    r"(?P<kind>\w+) (?P<name>\S+)"
    r"(?: : (?P<base>\w+))?(?: -> (?P<returns>\S+))?(?: by (?P<tag>\S+))?(?P<marks>(?: .*)?)$"
)
_MEMBER: Final = re.compile(r"(?P<name>[\w-]+)(?P<optional>\??): (?P<type>\S+)(?P<marks>.*)$")
_BRANCH: Final = re.compile(r"= (?P<value>\S+): (?P<type>\S+)$")
_FEATURE: Final = re.compile(r"\[([\w-]+)((?: \w+ [\d.]+)*)\]")
_UNCHECKED: Final = " unchecked"
_LIMIT: Final = re.compile(r"(since|until) ([\d.]+)")
_START: Final = re.compile(r"^(?:command|event|struct|union|alternate|enum) (\S+)", re.MULTILINE)


class _Build(Protocol):
    def __call__(self, head: re.Match[str], lines: list[str]) -> Definition: ...


def index(text: str) -> dict[str, str]:
    """The text of each definition in a schema file, by its name."""
    starts = list(_START.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {start[1]: text[start.start() : end] for start, end in zip(starts, ends, strict=True)}


def parse(text: str) -> Definition:
    """One definition, as `index` cuts it out."""
    first, *rest = text.split("\n")
    head = _HEAD.match(first)
    assert head, first
    lines = [line.strip() for line in rest if line.strip() and not line.startswith("#")]
    return _BUILDERS[head["kind"]](head, lines)


def _span(marks: str) -> Span:
    limits = {word: Release(name) for word, name in _LIMIT.findall(_FEATURE.sub("", marks))}
    return Span(since=limits.get("since"), until=limits.get("until")) if limits else ALWAYS


def _features(marks: str) -> tuple[Feature, ...]:
    return tuple(Feature(name=name, span=_span(limits)) for name, limits in _FEATURE.findall(marks))


def _members(lines: list[str]) -> tuple[Member, ...]:
    found = (_MEMBER.match(line) for line in lines if not line.startswith("="))
    return tuple(
        Member(
            name=match["name"],
            type=match["type"],
            optional=bool(match["optional"]),
            span=_span(match["marks"]),
            features=_features(match["marks"]),
        )
        for match in found
        if match
    )


def _struct(head: re.Match[str], lines: list[str]) -> Struct:
    branches = (match for line in lines if (match := _BRANCH.match(line)))
    return Struct(
        name=head["name"],
        base=head["base"],
        members=_members(lines),
        features=_features(head["marks"]),
        tag=head["tag"],
        branches={match["value"]: match["type"] for match in branches},
    )


def _command(head: re.Match[str], lines: list[str]) -> Command:
    name = head["name"].removesuffix(OLD)
    return Command(
        name=name,
        arguments=Struct(name=head["name"], base=head["base"], members=_members(lines)),
        returns=head["returns"],
        span=_span(head["marks"]),
        features=_features(head["marks"]),
        is_checked=_UNCHECKED not in head["marks"],
    )


def _event(head: re.Match[str], lines: list[str]) -> Event:
    return Event(
        name=head["name"],
        data=Struct(name=head["name"], base=head["base"], members=_members(lines)),
        span=_span(head["marks"]),
        features=_features(head["marks"]),
    )


def _alternate(head: re.Match[str], lines: list[str]) -> Alternate:
    return Alternate(name=head["name"], members=_members(lines))


def _enumeration(head: re.Match[str], lines: list[str]) -> Enumeration:
    values: list[EnumValue] = []
    for line in lines:
        name, _, marks = line.partition(" ")
        if _LIMIT.search(marks) or _FEATURE.search(marks):
            values.append(EnumValue(name=name, span=_span(marks), features=_features(marks)))
        else:
            values += (EnumValue(name=value) for value in line.split())
    return Enumeration(name=head["name"], values=tuple(values))


_BUILDERS: Final[dict[str, _Build]] = {
    "command": _command,
    "event": _event,
    "struct": _struct,
    "union": _struct,
    "alternate": _alternate,
    "enum": _enumeration,
}
