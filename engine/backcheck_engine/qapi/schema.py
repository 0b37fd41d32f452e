"""The contract between a client and the engine, as one release of QEMU has it: commands, events and types.

The data is in `schema/*.schema`; it is read when the first command needs it, and a definition is parsed when it is
first used.
"""

from __future__ import annotations

import functools
import os
from typing import Final

from backcheck_engine.qapi import schema_text
from backcheck_engine.qapi.types import Alternate, Command, Definition, Enumeration, Event, Feature, Member, Struct
from backcheck_engine.release import Release

FOLDER: Final = os.path.join(os.path.dirname(__file__), "schema")


@functools.cache
def _texts() -> dict[str, str]:
    texts: dict[str, str] = {}
    for name in sorted(os.listdir(FOLDER)):
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            texts.update(schema_text.index(file.read()))
    return texts


@functools.cache
def _definition(name: str) -> Definition:
    return schema_text.parse(_texts()[name])


class Schema:
    """What holds for one release; every look-up leaves out what the release does not have."""

    def __init__(self, release: Release) -> None:
        self.release: Final = release
        self._members: dict[str, tuple[Member, ...]] = {}

    def command(self, name: str) -> Command | None:
        """The command, or None when the release has none of that name."""
        for key in (name, name + schema_text.OLD):
            definition = _definition(key) if key in _texts() else None
            if isinstance(definition, Command) and definition.span.holds(self.release):
                return definition
        return None

    def event(self, name: str) -> Event | None:
        definition = _definition(name) if name in _texts() else None
        return definition if isinstance(definition, Event) and definition.span.holds(self.release) else None

    def events(self) -> list[Event]:
        """All events of the release."""
        named = (self.event(name) for name, text in _texts().items() if text.startswith("event "))
        return [event for event in named if event]

    def type(self, name: str) -> Struct | Enumeration | Alternate:
        """The type of that name. Raises KeyError when there is none."""
        definition = _definition(name)
        assert isinstance(definition, Struct | Enumeration | Alternate), name
        return definition

    def struct(self, name: str) -> Struct:
        definition = _definition(name)
        assert isinstance(definition, Struct), name
        return definition

    def members(self, struct: Struct) -> tuple[Member, ...]:
        """The members of a structure, those of its base first; without those of a union's branches."""
        if struct.name not in self._members:
            inherited = self.members(self.struct(struct.base)) if struct.base else ()
            own = tuple(member for member in struct.members if member.span.holds(self.release))
            self._members[struct.name] = inherited + own
        return self._members[struct.name]

    def tagged(self, struct: Struct) -> Struct | None:
        """The union among a structure and its bases, if there is one: it has the tag and the branches.

        A union whose tag is plain text in this release was none yet.
        """
        if struct.tag:
            is_plain = any(member.name == struct.tag and member.type == "str" for member in self.members(struct))
            return None if is_plain else struct
        return self.tagged(self.struct(struct.base)) if struct.base else None

    def values(self, enumeration: Enumeration) -> tuple[str, ...]:
        return tuple(value.name for value in enumeration.values if value.span.holds(self.release))

    def features(self, features: tuple[Feature, ...]) -> list[str]:
        return [feature.name for feature in features if feature.span.holds(self.release)]


@functools.cache
def schema_of(release: Release) -> Schema:
    """The schema of a release, made once."""
    return Schema(release)
