"""The shapes of the QAPI schema: what a command, an event or a type is made of.

Names of types are kept as text, to be looked up in a `Schema`; each thing that is not in all releases has a `Span`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from backcheck_engine.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The releases from `since` on and before `until`; None is no limit."""

    since: Release | None = None
    until: Release | None = None

    def holds(self, release: Release) -> bool:
        return not (self.since and release < self.since) and not (self.until and release >= self.until)


ALWAYS = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A mark that introspection shows, such as `deprecated`."""

    name: str
    span: Span = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a structure or of an alternate; `type` is "str", "[Type]" for a list, or a type's name."""

    name: str
    type: str
    optional: bool = False
    span: Span = ALWAYS
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """An object, with the members of `base` before its own.

    With `tag` it is a union: the value of that member chooses the structure whose members follow.
    """

    name: str
    base: str | None = None
    members: tuple[Member, ...] = ()
    features: tuple[Feature, ...] = ()
    tag: str | None = None
    branches: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumValue:
    """One value of an enumeration."""

    name: str
    span: Span = ALWAYS
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """A closed set of texts."""

    name: str
    values: tuple[EnumValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternate:
    """A value that may be of several JSON types, told apart by them."""

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command; its arguments are `arguments`, whose base may be a type that others use too."""

    name: str
    arguments: Struct
    returns: str | None = None
    span: Span = ALWAYS
    features: tuple[Feature, ...] = ()
    is_checked: bool = True
    """Off for a command that reads its arguments itself: a device has its own properties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event and its data."""

    name: str
    data: Struct
    span: Span = ALWAYS
    features: tuple[Feature, ...] = ()


Definition: TypeAlias = Struct | Enumeration | Alternate | Command | Event
