"""Commands about objects: `object-add`, `object-del`, and the properties of what those made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine.errors import QmpError
from backcheck_engine.identifier import is_identifier
from backcheck_engine.monitor.registry import command, tree_command
from backcheck_engine.qapi.schema import schema_of
from backcheck_engine.qapi.validation import Validator

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.user_objects import UserObject

_CONTAINER: Final = "/objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDel:
    """Arguments of `object-del`."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QomGet:
    """Arguments of `qom-get`."""

    path: str
    property: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QomList:
    """Arguments of `qom-list`."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QomSet:
    """Arguments of `qom-set`."""

    path: str
    property: str
    value: JsonValue


@tree_command("object-add")
async def object_add(context: Context, arguments: JsonObject) -> JsonValue:
    """Make an object."""
    properties = dict(arguments)
    type_name, name = str(properties.pop("qom-type")), str(properties.pop("id"))
    if not is_identifier(name):
        raise QmpError.generic("Parameter 'id' expects an identifier")
    context.objects.create(type_name, name, properties)
    return {}


@command("object-del", ObjectDel)
async def object_del(context: Context, arguments: ObjectDel) -> JsonValue:
    """Take an object away."""
    context.objects.delete(arguments.id)
    return {}


@command("qom-get", QomGet)
async def qom_get(context: Context, arguments: QomGet) -> JsonValue:
    """A property's value; the container's are its type and the paths of the objects."""
    if _is_container(arguments.path):
        if arguments.property == "type":
            return "container"
        if context.objects.find(arguments.property) is None:
            raise QmpError.generic(f"Property 'container.{arguments.property}' not found")
        return f"{_CONTAINER}/{arguments.property}"
    return _find(context, arguments.path).get(arguments.property)


@command("qom-set", QomSet)
async def qom_set(context: Context, arguments: QomSet) -> JsonValue:
    """Change a property."""
    found, value = _find(context, arguments.path), arguments.value
    struct_name = found.structures.get(arguments.property)
    if struct_name is not None:
        schema = schema_of(context.release)
        value = Validator(schema, context.input_policy).check(value, schema.struct(struct_name), arguments.property)
    found.set(arguments.property, value)
    return {}


@command("qom-list", QomList)
async def qom_list(context: Context, arguments: QomList) -> JsonValue:
    """The properties of an object, or the objects themselves."""
    if _is_container(arguments.path):
        listed: list[JsonValue] = [{"name": "type", "type": "string"}]
        listed += [{"name": found.name, "type": f"child<{found.type_name}>"} for found in context.objects]
        return listed
    return [{"name": name, "type": kind} for name, kind in _find(context, arguments.path).property_types()]


def _is_container(path: str) -> bool:
    return path.strip("/") == _CONTAINER.strip("/")


def _find(context: Context, path: str) -> UserObject:
    """The object at a path: /objects/ID, or ID alone. Raises QmpError."""
    found = context.objects.find(path.rstrip("/").removeprefix(f"{_CONTAINER}/"))
    if found is None:
        raise QmpError("DeviceNotFound", f"Device '{path}' not found")
    return found
