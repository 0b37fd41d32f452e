"""Commands that make and delete objects: `object-add` and `object-del`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.errors import QmpError
from backcheck_engine.identifier import is_identifier
from backcheck_engine.monitor.registry import command, tree_command
from backcheck_engine.qapi.schema import schema_of
from backcheck_engine.qapi.validation import Validator
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDel:
    """Arguments of `object-del`."""

    id: str


@tree_command("object-add")
async def object_add(context: Context, arguments: JsonObject) -> JsonValue:
    """Make an object."""
    if context.release < QEMU_7_2:
        arguments = _old_arguments(context, arguments)
    properties = dict(arguments)
    type_name, name = str(properties.pop("qom-type")), str(properties.pop("id"))
    if context.release >= QEMU_7_2 and not is_identifier(name):
        raise QmpError.generic("Parameter 'id' expects an identifier")
    context.objects.create(type_name, name, properties)
    return {}


def _old_arguments(context: Context, arguments: JsonObject) -> JsonObject:
    """What was also `props` before 6.0, checked: each type's properties were its own affair. Raises EngineError."""
    merged = dict(arguments)
    props = merged.pop("props", {})
    if not isinstance(props, dict):
        raise QmpError.generic("Invalid parameter type for 'props', expected: dict")
    if props.keys() & merged.keys():
        raise QmpError.generic("Option in 'props' conflicts with top level")
    merged |= props
    type_name, name = merged.pop("qom-type", None), merged.pop("id", None)
    for value, key in ((type_name, "qom-type"), (name, "id")):
        if not isinstance(value, str):
            raise QmpError.generic(f"Parameter '{key}' is missing")
    schema = schema_of(context.release)
    branch = schema.struct("ObjectOptions").branches.get(str(type_name))
    if branch is None:
        raise QmpError.generic(f"invalid object type: {type_name}")
    struct = schema.struct(branch)
    known = {member.name for member in schema.members(struct)}
    for key in merged:
        if key not in known:
            raise QmpError.generic(f"Property '{type_name}.{key}' not found")
    checked = Validator(schema, context.input_policy).check(merged, struct)
    return {"qom-type": type_name, "id": name, **checked}


@command("object-del", ObjectDel)
async def object_del(context: Context, arguments: ObjectDel) -> JsonValue:
    """Take an object away."""
    context.objects.delete(arguments.id)
    return {}
