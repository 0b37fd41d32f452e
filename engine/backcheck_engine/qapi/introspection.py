"""What `query-qmp-schema` answers: the schema of the commands that the engine has, in QEMU's format.

Types are named by numbers, as QEMU names them to keep clients from relying on names; built-in types and lists keep
theirs. Integers of all widths are "int" there, and a union's base and branches are told as members and variants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.qapi.schema import Schema
from backcheck_engine.qapi.types import Alternate, Command, Enumeration, Event, Feature, Member, Struct
from backcheck_engine.release import QEMU_7_2

_BUILT_IN: Final = {
    "str": "string",
    "int": "int",
    "bool": "boolean",
    "number": "number",
    "null": "null",
    "any": "value",
}


class Introspection:
    """Collects the types that commands and events need, each once."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._names: dict[str, str] = {}
        self._entries: list[JsonObject] = []
        self._empty = self._number("")
        self._entries.append({"name": self._empty, "members": [], "meta-type": "object"})

    def describe(self, commands: Iterable[Command], events: Iterable[Event]) -> list[JsonValue]:
        """The entries of commands and events, and of all types that they use."""
        tops: list[JsonObject] = [self._command(command) for command in commands]
        tops += [self._event(event) for event in events]
        return [*tops, *self._entries]

    def _number(self, key: str) -> str:
        return self._names.setdefault(key, str(len(self._names)))

    def _with_features(self, entry: JsonObject, features: tuple[Feature, ...]) -> JsonObject:
        names: list[JsonValue] = [*self._schema.features(features)]
        return {**entry, "features": names} if names else entry

    def _command(self, command: Command) -> JsonObject:
        entry: JsonObject = {
            "name": command.name,
            "ret-type": self._type(command.returns) if command.returns else self._empty,
            "meta-type": "command",
            "arg-type": self._arguments(command.arguments),
        }
        features = tuple(feature for feature in command.features if feature.name != "allow-oob")
        if len(features) < len(command.features):
            entry["allow-oob"] = True
        return self._with_features(entry, features)

    def _event(self, event: Event) -> JsonObject:
        entry: JsonObject = {"name": event.name, "meta-type": "event", "arg-type": self._arguments(event.data)}
        return self._with_features(entry, event.features)

    def _arguments(self, struct: Struct) -> str:
        if struct.base and not struct.members:
            return self._type(struct.base)
        return self._struct(f"arguments of {struct.name}", struct) if self._schema.members(struct) else self._empty

    def _type(self, name: str) -> str:
        """The name in introspection of a type, whose entry is made when it is not there yet."""
        if name.startswith("["):
            element = self._type(name[1:-1])
            return self._entry_once(f"[{element}]", {"element-type": element, "meta-type": "array"})
        if name in _BUILT_IN:
            return self._entry_once(name, {"json-type": _BUILT_IN[name], "meta-type": "builtin"})
        if name == "size" or name.startswith(("int", "uint")):
            return self._type("int")
        definition = self._schema.type(name)
        if name in self._names:
            return self._names[name]
        if isinstance(definition, Enumeration):
            return self._enumeration(definition)
        if isinstance(definition, Alternate):
            return self._alternate(definition)
        return self._struct(name, definition)

    def _entry_once(self, name: str, entry: JsonObject) -> str:
        if name not in self._names:
            self._names[name] = name
            self._entries.append({"name": name, **entry})
        return name

    def _enumeration(self, enumeration: Enumeration) -> str:
        number = self._number(enumeration.name)
        values: list[JsonValue] = [*self._schema.values(enumeration)]
        entry: JsonObject = {"name": number, "meta-type": "enum", "values": values}
        if self._schema.release >= QEMU_7_2:
            entry["members"] = [
                self._with_features({"name": value.name}, value.features)
                for value in enumeration.values
                if value.span.holds(self._schema.release)
            ]
        self._entries.append(entry)
        return number

    def _alternate(self, alternate: Alternate) -> str:
        number = self._number(alternate.name)
        members: list[JsonValue] = [{"type": self._type(member.type)} for member in alternate.members]
        self._entries.append({"name": number, "members": members, "meta-type": "alternate"})
        return number

    def _struct(self, key: str, struct: Struct) -> str:
        number = self._number(key)
        members: list[JsonValue] = [self._member(member) for member in self._schema.members(struct)]
        entry: JsonObject = {"name": number, "members": members, "meta-type": "object"}
        union = self._schema.tagged(struct)
        if union and union.tag:
            entry |= {"tag": union.tag, "variants": self._variants(struct, union, union.tag)}
        self._entries.append(self._with_features(entry, struct.features))
        return number

    def _member(self, member: Member) -> JsonObject:
        entry: JsonObject = {"name": member.name, "type": self._type(member.type)}
        if member.optional:
            entry["default"] = None
        return self._with_features(entry, member.features)

    def _variants(self, struct: Struct, union: Struct, tag: str) -> list[JsonValue]:
        tag_type = next(member.type for member in self._schema.members(struct) if member.name == tag)
        enumeration = self._schema.type(tag_type)
        assert isinstance(enumeration, Enumeration)
        return [
            {"case": case, "type": self._type(union.branches[case]) if case in union.branches else self._empty}
            for case in self._schema.values(enumeration)
        ]
