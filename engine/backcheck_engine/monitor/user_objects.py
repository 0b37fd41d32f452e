"""The objects that -object and `object-add` make, by their id: throttle groups, and others that are only kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Final, cast

from backcheck_engine.block.throttling import KINDS, ThrottleLimits
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.release import QEMU_5_2, QEMU_7_2, QEMU_11_1

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.throttle_group import ThrottleGroup
    from backcheck_engine.release import Release

IO_THREAD: Final = "iothread"
THROTTLE_GROUP: Final = "throttle-group"
SECRET: Final = "secret"
_LIMIT_MEMBERS: Final = ("iops-size", *(f"{kind}{part}" for kind in KINDS for part in ("", "-max", "-max-length")))
_OLD_PREFIX: Final = "x-"


class UserObject:
    """One object; `properties` are those that it was made with."""

    structures: ClassVar[dict[str, str]] = {}
    """Properties that are structures, with the names of these in the schema."""

    def __init__(self, type_name: str, name: str, properties: JsonObject) -> None:
        self.type_name: Final = type_name
        self.name: Final = name
        self.properties: Final = properties

    def get(self, name: str) -> JsonValue:
        """The value of a property. Raises BlockError when the object has none of that name."""
        if name == "type":
            return self.type_name
        if name not in self.properties:
            raise self.no_property(name)
        return self.properties[name]

    def set(self, name: str, value: JsonValue) -> None:
        """Change a property. Raises BlockError."""
        self.get(name)
        raise BlockError(f"Property '{self.type_name}.{name}' is not writable")

    def property_types(self) -> Iterator[tuple[str, str]]:
        """Name and type of each property."""
        yield "type", "string"
        for name, value in self.properties.items():
            yield name, "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "string"

    def no_property(self, name: str) -> BlockError:
        """What is said of a property that the object does not have."""
        return BlockError(f"Property '{self.type_name}.{name}' not found")


class IoThread(UserObject):
    """An iothread: a name, and how it would poll. All work is done in the one event loop."""

    def __init__(self, name: str, properties: JsonObject, release: Release) -> None:
        defaults = {key: number for key, since, number in _IO_THREAD_DEFAULTS if release >= since}
        super().__init__(IO_THREAD, name, {**defaults, "poll-max-ns": _POLL_MAX_NS})
        if release >= QEMU_11_1:
            self.properties.update({"poll-grow": 2, "poll-shrink": 2})
        for key, value in properties.items():
            self.set(key, value)

    def set(self, name: str, value: JsonValue) -> None:
        if name not in self.properties:
            super().set(name, value)
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise BlockError(f"Invalid parameter type for '{name}', expected: integer")
        try:
            number = int(value)
        except ValueError:
            raise BlockError(f"Invalid parameter type for '{name}', expected: integer") from None
        if not 0 <= number <= _MAX_INT64:
            raise BlockError(f"{name} value must be in range [0, {_MAX_INT64}]")
        self.properties[name] = number


_POLL_MAX_NS: Final = 32768
_MAX_INT64: Final = 2**63 - 1
_IO_THREAD_DEFAULTS: Final = (
    ("thread-pool-min", QEMU_7_2, 0),
    ("aio-max-batch", QEMU_7_2, 0),
    ("thread-pool-max", QEMU_7_2, 64),
    ("poll-weight", QEMU_11_1, 3),
    ("poll-grow", QEMU_5_2, 0),
    ("poll-shrink", QEMU_5_2, 0),
)
"""What an iothread is when nothing is said, and since when."""


class ThrottleGroupObject(UserObject):
    """A throttle group under its id."""

    structures: ClassVar[dict[str, str]] = {"limits": "ThrottleLimits"}

    def __init__(self, name: str, properties: JsonObject, group: ThrottleGroup) -> None:
        super().__init__(THROTTLE_GROUP, name, properties)
        self.group: Final = group

    def get(self, name: str) -> JsonValue:
        limits = self.group.limits.as_qapi()
        if name == "limits":
            return {**limits}
        old_name = name.removeprefix(_OLD_PREFIX)
        if name.startswith(_OLD_PREFIX) and old_name in limits:
            return limits[old_name]
        return super().get(name)

    def set(self, name: str, value: JsonValue) -> None:
        self.get(name)
        if name.startswith(_OLD_PREFIX):
            raise BlockError("Property cannot be set after initialization")
        if name == "limits":
            self.group.configure(_changed_limits(self.group.limits, value))
            return
        super().set(name, value)

    def property_types(self) -> Iterator[tuple[str, str]]:
        yield "type", "string"
        yield "limits", "ThrottleLimits"
        yield from ((f"{_OLD_PREFIX}{member}", "int") for member in _LIMIT_MEMBERS)


class UserObjects:
    """All objects of a machine."""

    def __init__(self, graph: Graph, release: Release) -> None:
        self._graph: Final = graph
        self._release: Final = release
        self._objects: Final[dict[str, UserObject]] = {}

    def __iter__(self) -> Iterator[UserObject]:
        return iter(self._objects.values())

    def find(self, name: str, type_name: str | None = None) -> UserObject | None:
        """The object of that id, and of that type if one is given."""
        found = self._objects.get(name)
        return found if found is not None and type_name in (None, found.type_name) else None

    def create(self, type_name: str, name: str, properties: JsonObject) -> None:
        """Make an object of properties that the schema knows. Raises BlockError in QEMU's words."""
        # An iothread looks at its properties before there is another of its name.
        made: UserObject | None = IoThread(name, properties, self._release) if type_name == IO_THREAD else None
        if name in self._objects:
            raise BlockError(f"attempt to add duplicate property '{name}' to object (type 'container')")
        if type_name == THROTTLE_GROUP:
            made = self._create_group(name, properties)
        elif type_name == SECRET:
            self._check_secret(properties)
        self._objects[name] = made or UserObject(type_name, name, properties)

    def _create_group(self, name: str, properties: JsonObject) -> UserObject:
        old = {key.removeprefix(_OLD_PREFIX): value for key, value in properties.items() if key != "limits"}
        limits = _changed_limits(ThrottleLimits(), {**old, **cast("JsonObject", properties.get("limits", {}))})
        return ThrottleGroupObject(name, properties, self._graph.throttle_groups.create(name, limits))

    def _check_secret(self, properties: JsonObject) -> None:
        """Refuse a secret that is not there. What it is, nothing here wants to know. Raises BlockError."""
        file, key = properties.get("file"), properties.get("keyid")
        if file is not None and "data" in properties:
            raise BlockError("'file' and 'data' are mutually exclusive")
        if file is None and "data" not in properties:
            raise BlockError("Either 'file' or 'data' must be provided")
        if file is not None:
            _read_secret(str(file))
        if key is not None and self.find(str(key), SECRET) is None:
            raise BlockError(f"No secret with id '{key}'")

    def delete(self, name: str) -> None:
        """Take an object away. Raises BlockError when there is none, or when it is used."""
        found = self._objects.get(name)
        if found is None:
            raise BlockError(f"object '{name}' not found")
        if isinstance(found, ThrottleGroupObject):
            if found.group.members:
                raise BlockError(
                    f"Cannot delete throttle group '{name}' with active references"
                    if self._release >= QEMU_11_1
                    else f"object '{name}' is in use, can not be deleted"
                )
            self._graph.throttle_groups.delete(found.group)
        del self._objects[name]


def _read_secret(path: str) -> None:
    """Raise BlockError, in the words of GLib, for a file that cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BlockError(f"Unable to read {path}: Failed to open file “{path}”: {error.strerror}") from error
    try:
        os.read(descriptor, 1)
    except OSError as error:
        raise BlockError(f"Unable to read {path}: Error reading file “{path}”: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _changed_limits(limits: ThrottleLimits, members: JsonValue) -> ThrottleLimits:
    """The limits with some members changed. Raises BlockError."""
    assert isinstance(members, dict)
    return ThrottleLimits.from_qapi({name: _number(value) for name, value in members.items()}, limits)


def _number(value: JsonValue) -> int:
    """An integer of the schema, or of the command line, which gives texts that have been checked."""
    assert isinstance(value, (int, str))
    return int(value)
