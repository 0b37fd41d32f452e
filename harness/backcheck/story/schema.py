"""Reading query-qmp-schema: what an implementation says its commands are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from backcheck.json_types import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a command. `type`: `str`, `int`, `bool`, `['full', 'none']` for an enum, `{…}` for an object."""

    name: str
    type: str
    optional: bool
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSchema:
    """One command: its arguments by name, in schema order, and its features."""

    name: str
    arguments: Mapping[str, Argument]
    features: tuple[str, ...]
    allow_oob: bool


class Schema:
    """The entities of query-qmp-schema, whose names for types are numbers."""

    def __init__(self, entities: JsonValue) -> None:
        self._entities = {str(entity["name"]): entity for entity in cast(Sequence[JsonObject], entities)}

    def command(self, name: str) -> CommandSchema | None:
        """A command, or None when there is none of that name."""
        entity = self._entities.get(name)
        if entity is None or entity["meta-type"] != "command":
            return None
        members = _members(self._entities[str(entity["arg-type"])])
        arguments = [self._argument(member) for member in members]
        return CommandSchema(
            name=name,
            arguments={argument.name: argument for argument in arguments},
            features=_features(entity),
            allow_oob=entity.get("allow-oob") is True,
        )

    def drivers(self) -> Sequence[str]:
        """The block drivers that blockdev-add knows."""
        options = self._entities[str(self._entities["blockdev-add"]["arg-type"])]
        driver = next(member for member in _members(options) if member["name"] == "driver")
        return cast(Sequence[str], self._entities[str(driver["type"])]["values"])

    def _argument(self, member: JsonObject) -> Argument:
        return Argument(
            name=str(member["name"]),
            type=self._type(str(member["type"])),
            optional="default" in member,
            features=_features(member),
        )

    def _type(self, name: str) -> str:
        entity = self._entities[name]
        kind = entity["meta-type"]
        if kind == "builtin":
            return name
        if kind == "enum":
            return str(sorted(cast(Sequence[str], entity["values"])))
        if kind == "array":
            return f"[{self._type(str(entity['element-type']))}]"
        if kind == "object":
            members = [self._argument(member) for member in _members(entity)]
            return "{" + ", ".join(f"{member.name}: {member.type}" for member in members) + "}"
        return str(kind)


def _members(entity: JsonObject) -> Sequence[JsonObject]:
    return cast(Sequence[JsonObject], entity.get("members", []))


def _features(entity: JsonObject) -> tuple[str, ...]:
    return tuple(cast(Sequence[str], entity.get("features", [])))
