"""Checks values against the schema, in QEMU's order and with QEMU's words.

Members are visited in the schema's order and unknown ones last; the first problem wins. Paths in messages read
`actions[0].data.target`.
"""

from __future__ import annotations

from typing import Final

from backcheck_engine.errors import QmpError
from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.qapi.policy import InputPolicy
from backcheck_engine.qapi.schema import Schema
from backcheck_engine.qapi.types import Alternate, Enumeration, Struct
from backcheck_engine.release import QEMU_7_2

_INT64: Final = range(-(1 << 63), 1 << 63)
_UINT64: Final = range(-(1 << 63), 1 << 64)

_INTEGERS: Final = {
    "int": _INT64,
    "int64": _INT64,
    "size": _UINT64,
    "uint64": _UINT64,
    "int8": range(-(1 << 7), 1 << 7),
    "int16": range(-(1 << 15), 1 << 15),
    "int32": range(-(1 << 31), 1 << 31),
    "uint8": range(1 << 8),
    "uint16": range(1 << 16),
    "uint32": range(1 << 32),
}

_SIGNED: Final = ("int", "int8", "int16", "int32", "int64")

_EXPECTED: Final = {"str": "string", "bool": "boolean", "number": "number", "null": "null"}


ACCEPT_ALL: Final = InputPolicy()


class Validator:
    """Checks values for one schema; all methods raise QmpError, class GenericError."""

    def __init__(self, schema: Schema, policy: InputPolicy = ACCEPT_ALL) -> None:
        self._schema = schema
        self._policy = policy

    def check(self, value: JsonValue, struct: Struct, path: str = "") -> JsonObject:
        """The members of `value`, a `struct`; unsigned integers wrapped as QEMU wraps them."""
        if not isinstance(value, dict):
            raise _wrong_type(path, "object")
        known = self._members(value, struct, path)
        for name in value:
            if name not in known:
                raise QmpError.generic(f"Parameter '{_join(path, name)}' is unexpected")
        return known

    def _members(self, value: JsonObject, struct: Struct, path: str) -> JsonObject:
        known: JsonObject = {}
        for member in self._schema.members(struct):
            place = _join(path, member.name)
            if member.name in value:
                self._policy.check(self._schema.features(member.features), "parameter", member.name)
                known[member.name] = self._value(value[member.name], member.type, place)
            elif not member.optional:
                raise QmpError.generic(f"Parameter '{place}' is missing")
        union = self._schema.tagged(struct)
        branch = union.branches.get(str(known[union.tag])) if union and union.tag else None
        if branch:
            known |= self._members(value, self._schema.struct(branch), path)
        return known

    def _value(self, value: JsonValue, type_name: str, path: str) -> JsonValue:
        if type_name.startswith("["):
            return self._list(value, type_name[1:-1], path)
        if type_name in _INTEGERS:
            return self.integer(value, type_name, path)
        if type_name in _EXPECTED:
            return self.scalar(value, type_name, path)
        if type_name == "any":
            return value
        definition = self._schema.type(type_name)
        if isinstance(definition, Enumeration):
            return self._enumeration(value, definition, path)
        if isinstance(definition, Alternate):
            return self._alternate(value, definition, path)
        return self.check(value, definition, path)

    def _list(self, value: JsonValue, element: str, path: str) -> JsonValue:
        if not isinstance(value, list):
            raise _wrong_type(path, "array")
        return [self._value(item, element, f"{path}[{position}]") for position, item in enumerate(value)]

    def _enumeration(self, value: JsonValue, enumeration: Enumeration, path: str) -> JsonValue:
        if not isinstance(value, str):
            raise _wrong_type(path, "string")
        if value not in self._schema.values(enumeration):
            if self._schema.release < QEMU_7_2:
                raise QmpError.generic(f"Invalid parameter '{value}'")
            raise QmpError.generic(f"Parameter '{_last(path)}' does not accept value '{value}'")
        found = next(known for known in enumeration.values if known.name == value)
        self._policy.check(self._schema.features(found.features), "value", value)
        return value

    def _alternate(self, value: JsonValue, alternate: Alternate, path: str) -> JsonValue:
        for member in alternate.members:
            if self._fits(value, member.type):
                return self._value(value, member.type, path)
        raise _wrong_type(_last(path), alternate.name)

    def _fits(self, value: JsonValue, type_name: str) -> bool:
        """Whether the JSON type of a value is that of a type."""
        if type_name == "null":
            return value is None
        if type_name == "str":
            return isinstance(value, str)
        if type_name.startswith("["):
            return isinstance(value, list)
        is_struct = isinstance(self._schema.type(type_name), Struct)
        return isinstance(value, dict) if is_struct else isinstance(value, str)

    def integer(self, value: JsonValue, type_name: str, path: str) -> int:
        """A value of one of the integer types, unsigned ones wrapped."""
        signed = type_name in _SIGNED
        if not isinstance(value, int) or isinstance(value, bool) or value not in (_INT64 if signed else _UINT64):
            raise _wrong_type(path, "integer") if signed else QmpError.generic(f"Parameter '{path}' expects uint64")
        value = value if signed else value & _UINT64[-1]
        if value not in _INTEGERS[type_name]:
            raise QmpError.generic(f"Parameter '{_last(path)}' expects {type_name}_t")
        return value

    def scalar(self, value: JsonValue, type_name: str, path: str) -> JsonValue:
        """A value of one of the other built-in types."""
        fits = {
            "str": isinstance(value, str),
            "bool": isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "null": value is None,
        }
        if not fits[type_name]:
            raise _wrong_type(path, _EXPECTED[type_name])
        return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _last(path: str) -> str:
    """The name at the end of a path, which is all that some messages tell; an element of a list has none."""
    return "null" if path.endswith("]") else path.rpartition(".")[2]


def _wrong_type(path: str, expected: str) -> QmpError:
    return QmpError.generic(f"Invalid parameter type for '{path}', expected: {expected}")
