"""The properties of objects: `qom-list`, `qom-get` and `qom-set`.

Setting the property `drive` of a device changes the node that it uses: so a filter comes under a running guest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.errors import QmpError
from backcheck_engine.monitor.qom_tree import find_object
from backcheck_engine.monitor.registry import command

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.qom_tree import QomObject


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


@command("qom-get", QomGet)
async def qom_get(context: Context, arguments: QomGet) -> JsonValue:
    """A property's value; of a child it is the child's path."""
    return _find(context, arguments.path).get(arguments.property)


@command("qom-set", QomSet)
async def qom_set(context: Context, arguments: QomSet) -> JsonValue:
    """Change a property."""
    await _find(context, arguments.path).set(arguments.property, arguments.value)
    return {}


@command("qom-list", QomList)
async def qom_list(context: Context, arguments: QomList) -> JsonValue:
    """The properties of an object, its children among them."""
    return [{"name": name, "type": kind} for name, kind in _find(context, arguments.path).property_types()]


def _find(context: Context, path: str) -> QomObject:
    found = find_object(context, path)
    if found is None:
        raise QmpError("DeviceNotFound", f"Device '{path}' not found")
    return found
