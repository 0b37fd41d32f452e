"""The tree of objects that clients look at: containers, the objects of users, and the guest's devices.

Each is found by its path, or by the end of it. Of the machine there is as much as has to do with its drives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from backcheck_engine.devices.device import NAMED, NAMELESS
from backcheck_engine.devices.device_tree import is_path_of
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.qom_device import DeviceBackend, DeviceObject
from backcheck_engine.qapi.schema import schema_of
from backcheck_engine.qapi.validation import Validator
from backcheck_engine.release import QEMU_7_2, QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.user_objects import UserObject
    from backcheck_engine.release import Release

_OBJECTS: Final = "/objects"
_MACHINE: Final = "/machine"
_CHIPSETS: Final = {"pc": "pc-i440fx-{}", "q35": "pc-q35-{}"}


class QomObject(Protocol):
    """What is at a path."""

    type_name: str

    def get(self, name: str) -> JsonValue:
        """The value of a property. Raises BlockError when there is none of that name."""
        ...

    async def set(self, name: str, value: JsonValue) -> None:
        """Change a property. Raises BlockError."""
        ...

    def property_types(self) -> Iterator[tuple[str, str]]:
        """Name and type of each property."""
        ...


class Container:
    """An object that has only others in it."""

    def __init__(self, path: str, type_name: str, children: Callable[[], dict[str, str]], release: Release) -> None:
        """`children` are the types of the objects in it, by name."""
        self.type_name = type_name
        self._path: Final = path
        self._children: Final = children
        self._release: Final = release

    def get(self, name: str) -> JsonValue:
        if name == "type":
            return self.type_name
        if name not in self._children():
            raise BlockError(f"Property '{self.type_name}.{name}' not found")
        return f"{self._path.rstrip('/')}/{name}"

    async def set(self, name: str, value: JsonValue) -> None:
        self.get(name)
        raise not_writable(self.type_name, name, self._release)

    def property_types(self) -> Iterator[tuple[str, str]]:
        yield "type", "string"
        for name, kind in self._children().items():
            yield name, f"child<{kind}>"


class UsersObject:
    """An object that a user made."""

    def __init__(self, context: Context, found: UserObject) -> None:
        self.type_name = found.type_name
        self._context: Final = context
        self._found: Final = found

    def get(self, name: str) -> JsonValue:
        return self._found.get(name)

    async def set(self, name: str, value: JsonValue) -> None:
        struct_name = self._found.structures.get(name)
        if struct_name is not None:
            schema = schema_of(self._context.release)
            value = Validator(schema, self._context.input_policy).check(value, schema.struct(struct_name), name)
        self._found.set(name, value)

    def property_types(self) -> Iterator[tuple[str, str]]:
        return self._found.property_types()


def not_writable(type_name: str, name: str, release: Release) -> BlockError:
    """What is said of a property that nobody may set."""
    old = "Insufficient permission to perform this operation"
    return BlockError(old if release < QEMU_7_2 else f"Property '{type_name}.{name}' is not writable")


def find_object(context: Context, path: str) -> QomObject | None:
    """The object at a path; the end of the path is enough."""
    wanted = path.rstrip("/") or "/"
    return next((found for place, found in _objects(context) if is_path_of(wanted, place)), None)


def _objects(context: Context) -> Iterator[tuple[str, QomObject]]:
    """All objects with their paths."""
    for path, (type_name, children) in _containers(context).items():
        yield path, Container(path, type_name, children, context.release)
    for found in context.objects:
        yield f"{_OBJECTS}/{found.name}", UsersObject(context, found)
    for device in context.devices:
        yield device.path, DeviceObject(context, device)
        if device.backend_path != device.path:
            yield device.backend_path, DeviceBackend(context, device)


def _containers(context: Context) -> dict[str, tuple[str, Callable[[], dict[str, str]]]]:
    container, machine = "container", _machine_type(context)
    top = {"objects": container, "machine": machine, "chardevs": container}
    if context.release >= QEMU_10_0:
        top["backend"] = container
    of_machine = {"peripheral": container, "peripheral-anon": container, "unattached": container}
    return {
        "/": (container, lambda: top),
        _OBJECTS: (container, lambda: {found.name: found.type_name for found in context.objects}),
        _MACHINE: (machine, lambda: of_machine),
        NAMED: (container, lambda: _devices_at(context, NAMED)),
        NAMELESS: (container, lambda: _devices_at(context, NAMELESS)),
        f"{_MACHINE}/unattached": (container, dict),
        "/chardevs": (container, dict),
    }


def _devices_at(context: Context, folder: str) -> dict[str, str]:
    places = ((device.path.rpartition("/"), device.model.name) for device in context.devices)
    return {name: model for (above, _, name), model in places if above == folder}


def _machine_type(context: Context) -> str:
    return f"{_CHIPSETS.get(context.machine, context.machine).format(context.release)}-machine"
