"""The guest's devices as objects with properties, and what setting their `drive` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from backcheck_engine.devices.models import BACKEND_NAME
from backcheck_engine.devices.properties import checked_value, default_value, model_properties
from backcheck_engine.errors import BlockError
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.devices.device import Device
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context

_OF_EVERY_DEVICE: Final = {
    "parent_bus": "link<bus>",
    "realized": "bool",
    "hotplugged": "bool",
    "hotpluggable": "bool",
}
_STAYS_WRITABLE: Final = ("bootindex",)


class DeviceObject:
    """A device."""

    def __init__(self, context: Context, device: Device) -> None:
        self.type_name = device.model.name
        self._context: Final = context
        self._device: Final = device
        self._known: Final = model_properties(device.model.name, context.release) or {}

    def get(self, name: str) -> JsonValue:
        facts: dict[str, JsonValue] = self._facts()
        if name in facts:
            return facts[name]
        if name == "drive" and self._device.guest is not None:
            backend = self._device.guest.backend
            return backend.name or (backend.node.node_name if backend.node is not None else "")
        value = self._device.properties.get(name)
        if value is not None:
            return f"/objects/{value}" if name == "iothread" and "/" not in str(value) else value
        if name not in self._known:
            raise BlockError(f"Property '{self.type_name}.{name}' not found")
        return default_value(self._known[name])

    def _facts(self) -> dict[str, JsonValue]:
        device = self._device
        facts: dict[str, JsonValue] = {
            "type": self.type_name,
            "parent_bus": device.bus.path,
            "realized": True,
            "hotplugged": device.is_hotplugged,
            "hotpluggable": True,
        }
        return facts | {name: f"{device.path}/{name}" for name, _ in self._children()}

    def _children(self) -> Iterator[tuple[str, str]]:
        """Name and type of each part of the device."""
        if self._device.backend_path != self._device.path:
            yield BACKEND_NAME, f"child<{self._device.model.backend}>"

    async def set(self, name: str, value: JsonValue) -> None:
        if name in _OF_EVERY_DEVICE and not isinstance(value, bool) and _OF_EVERY_DEVICE[name] == "bool":
            raise BlockError(f"Invalid parameter type for '{name}', expected: boolean")
        if name not in self._known:
            self.get(name)
            from backcheck_engine.monitor.qom_tree import not_writable

            raise not_writable(self.type_name, name, self._context.release)
        if name == "drive" and self._context.release >= QEMU_7_2:
            await self._set_drive(value)
            return
        if name not in _STAYS_WRITABLE:
            raise BlockError(f"Attempt to set property '{name}' on {self._shown()} after it was realized")
        self._device.properties[name] = checked_value(self._known[name], value, self._context.release, typed=True)

    def _shown(self) -> str:
        """How the device is called that has the property: of a part of another one, as nobody has named it."""
        device = self._device
        name = f"device '{device.name}'" if device.name and not device.model.backend else "anonymous device"
        return f"{name} (type '{device.model.drive_owner}')"

    async def _set_drive(self, value: JsonValue) -> None:
        """Let the device use another node, with all that it needs there."""
        node_name = checked_value(self._known["drive"], value, self._context.release, typed=True)
        node = self._context.graph.find(None, str(node_name))
        assert self._device.guest is not None
        backend = self._device.guest.backend
        if node.iothread != backend.iothread:
            raise BlockError("Different aio context is not supported for new node")
        if backend.node is None:
            backend.insert(node)
        elif backend.node is not node:
            await backend.replace(node)

    def property_types(self) -> Iterator[tuple[str, str]]:
        yield "type", "string"
        yield from _OF_EVERY_DEVICE.items()
        yield from ((one.name, one.type) for one in self._known.values())
        yield from self._children()


class DeviceBackend(DeviceObject):
    """The part of a device that has its drive, or its bus."""

    def __init__(self, context: Context, device: Device) -> None:
        super().__init__(context, device)
        self.type_name = device.model.backend
        self._known.clear()
        self._known.update(model_properties(device.model.backend, context.release) or {})

    def _children(self) -> Iterator[tuple[str, str]]:
        own = self._device.own_bus
        if own is not None:
            yield own.name, f"child<{own.kind}>"
