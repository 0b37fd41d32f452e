"""The properties of devices: which a model has, of which type, and what is said of a value that does not do.

The data is in `properties.table`. Of models that are not there every property is accepted, and none is known.
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from backcheck_engine.errors import BlockError
from backcheck_engine.release import QEMU_7_2, QEMU_10_0, Release

if TYPE_CHECKING:
    from backcheck_engine.devices.models import DeviceModel
    from backcheck_engine.json_value import JsonObject, JsonValue

_TABLE: Final = os.path.join(os.path.dirname(__file__), "properties.table")
_LINE: Final = re.compile(
    r"    (?P<name>\S+) (?P<type>\S+)(?: = (?P<default>\S+))?(?: since (?P<since>\S+))?(?: until (?P<until>\S+))?"
)
_VARIANTS: Final = ("-non-transitional", "-transitional")
_INTERNAL: Final = "x-"
"""How properties begin that are no promise to anybody; all are accepted."""

_TRUE: Final = ("on", "yes", "true", "y")
_FALSE: Final = ("off", "no", "false", "n")
_ENUMERATIONS: Final = {
    "OnOffAuto": ("auto", "on", "off"),
    "BlockdevOnError": ("report", "ignore", "enospc", "stop", "auto"),
}
_RANGES: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "size": (0, 2**64 - 1),
}
_SIGNED: Final = "int32"
_NOT_READ: Final = ("list", "IOThreadVirtQueueMappingList")
"""Types whose values are taken as they are."""
_BLOCK_SIZES: Final = ("logical_block_size", "physical_block_size")
_BLOCK_SIZE_RANGE: Final = (512, 2 * 2**20)
_SUFFIXES: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_NUMBER: Final = re.compile(r"(?P<number>0x[0-9a-fA-F]{1,30}|[+-]?[0-9]{1,30})(?P<suffix>[bkmgtBKMGT]?)")


class Property(NamedTuple):
    """One property of a model; `default` is as text, None where it is nothing."""

    name: str
    type: str
    default: str | None
    since: Release | None
    until: Release | None

    def exists_in(self, release: Release) -> bool:
        return not (self.since and release < self.since) and not (self.until and release >= self.until)


def model_properties(model_name: str, release: Release) -> dict[str, Property] | None:
    """The properties of a model, or None when every one is accepted."""
    for variant in _VARIANTS:
        model_name = model_name.removesuffix(variant)
    found = _tables().get(model_name)
    return None if found is None else {one.name: one for one in found if one.exists_in(release)}


@functools.cache
def _tables() -> dict[str, list[Property]]:
    tables: dict[str, list[Property]] = {}
    models: list[str] = []
    with open(_TABLE, encoding="utf-8") as file:
        for line in file:
            if found := _LINE.match(line):
                since, until = (Release(found[key]) if found[key] else None for key in ("since", "until"))
                for name in models:
                    tables.setdefault(name, []).append(
                        Property(found["name"], found["type"], found["default"], since, until)
                    )
            elif not line.startswith("#"):
                models = line.split()
    return tables


def check_properties(model: DeviceModel, given: JsonObject, release: Release, *, typed: bool) -> JsonObject:
    """The values of the properties that are given, in their order. Raises BlockError for the first that is wrong.

    `typed` is how JSON is read: otherwise every value is a text, or was turned into one.
    """
    known = model_properties(model.name, release)
    values: JsonObject = {}
    for name, value in given.items():
        if known is None or (name.startswith(_INTERNAL) and name not in known):
            values[name] = value
        elif name not in known:
            raise BlockError(f"Property '{model.name}.{name}' not found")
        else:
            values[name] = checked_value(known[name], value, release, typed=typed)
            if name in _BLOCK_SIZES:
                _check_block_size(name, int(str(values[name])), release)
    return values


def checked_value(one: Property, value: JsonValue, release: Release, *, typed: bool) -> JsonValue:
    """The value in the property's own type. Raises BlockError in QEMU's words."""
    if one.type in _NOT_READ:
        return value
    if not typed:
        return _of_text(one, _as_text(value), release)
    if one.type in _RANGES:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BlockError(
                f"Invalid parameter type for '{one.name}', expected: integer"
                if one.type == _SIGNED
                else f"Parameter '{one.name}' expects uint64"
            )
        return _in_range(one, value)
    if one.type == "bool":
        if not isinstance(value, bool):
            raise BlockError(f"Invalid parameter type for '{one.name}', expected: boolean")
        return value
    if not isinstance(value, str):
        raise BlockError(f"Invalid parameter type for '{one.name}', expected: string")
    return _of_text(one, value, release)


def _as_text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _of_text(one: Property, text: str, release: Release) -> JsonValue:
    if one.type == "bool":
        if text not in _TRUE + _FALSE:
            raise BlockError(f"Parameter '{one.name}' expects 'on' or 'off'")
        return text in _TRUE
    if one.type in _RANGES:
        return _number(one, text, release)
    choices = _ENUMERATIONS.get(one.type)
    if choices is not None and text not in choices:
        new = f"Parameter '{one.name}' does not accept value '{text}'"
        raise BlockError(f"Invalid parameter '{text}'" if release < QEMU_7_2 else new)
    return text


def _number(one: Property, text: str, release: Release) -> int:
    found = _NUMBER.fullmatch(text)
    if found is None or (found["suffix"] and one.type != "size"):
        old = "int64" if one.type == _SIGNED else "uint64"
        expected = "size" if one.type == "size" else old if release < QEMU_7_2 else "integer"
        raise BlockError(f"Parameter '{one.name}' expects {expected}")
    base = 16 if found["number"].startswith("0x") else 10
    return _in_range(one, int(found["number"], base) * _SUFFIXES[found["suffix"].lower()])


def _in_range(one: Property, number: int) -> int:
    low, high = _RANGES[one.type]
    if not low <= number <= high:
        raise BlockError(f"Parameter '{one.name}' expects {one.type}_t")
    return number


def _check_block_size(name: str, size: int, release: Release) -> None:
    least, most = _BLOCK_SIZE_RANGE
    if size and release >= QEMU_10_0 and (size & (size - 1) or not least <= size <= most):
        raise BlockError(f"parameter {name} must be a power of 2 between {least} and {most}")


def default_value(one: Property) -> JsonValue:
    """What a property is that nobody has set."""
    if one.default is None:
        return ""
    if one.type == "bool":
        return one.default == "true"
    return int(one.default) if one.type in _RANGES else one.default


def are_typed(release: Release, *, is_json: bool) -> bool:
    """Whether values that come as JSON must be of the property's type; once all became texts."""
    return is_json and release >= QEMU_10_0
