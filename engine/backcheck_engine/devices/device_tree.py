"""All devices of a machine and their buses: plugging one in, and finding one again.

Taking one out needs more than this: its jobs end, and clients are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from backcheck_engine.block import iothread
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.permissions import Permission
from backcheck_engine.devices.bus import Bus, bus_of, machine_buses
from backcheck_engine.devices.device import NAMED, NAMELESS, Device
from backcheck_engine.devices.guest_device import GuestDevice
from backcheck_engine.devices.models import PCI, PCI_EXPRESS, VIRTIO, device_model, fits
from backcheck_engine.devices.properties import are_typed, check_properties
from backcheck_engine.errors import BlockError, OptionError, QmpError
from backcheck_engine.identifier import is_identifier
from backcheck_engine.release import QEMU_7_2, QEMU_10_0, QEMU_11_1

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.devices.models import DeviceModel
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.release import Release


class DeviceTree:
    """The guest's devices."""

    def __init__(self, graph: Graph, release: Release, machine: str, has_iothread: Callable[[str], bool]) -> None:
        """`has_iothread` says whether there is an iothread of that id."""
        self._graph: Final = graph
        self._release: Final = release
        self._has_iothread: Final = has_iothread
        self._devices: Final[list[Device]] = []
        self._buses: Final = machine_buses(machine)
        self.machine: Final = machine

    def __iter__(self) -> Iterator[Device]:
        """In the order in which they came."""
        return iter(self._devices)

    @property
    def guests(self) -> list[GuestDevice]:
        """What uses drives."""
        return [device.guest for device in self._devices if device.guest is not None]

    def find(self, name: str) -> Device | None:
        """The device of that id or path; the end of a path is enough."""
        return next((device for device in self._devices if name == device.name or is_path_of(name, device.path)), None)

    def find_backend(self, name: str) -> Device | None:
        """The device whose part with the drive, or the bus, is meant by a path."""
        return next((device for device in self._devices if is_path_of(name, device.backend_path)), None)

    # Plugging in.

    def add(self, driver: str, given: JsonObject, *, hotplug: bool = False, is_json: bool = False) -> Device:
        """Plug a device in. Raises EngineError in QEMU's words; nothing has changed then.

        `given` are its properties, `id` and `bus` among them; `is_json` when a client wrote them as JSON.
        """
        properties = dict(given)
        typed = are_typed(self._release, is_json=is_json)
        name, bus_name = _name_of(properties.pop("id", None)), _bus_name(properties.pop("bus", None), typed=typed)
        if hotplug:
            self._check_early(name)
        model = device_model(driver)
        if model is None:
            raise OptionError(f"'{driver}' is not a valid device model name")
        bus = self._named_bus(model, bus_name) if bus_name is not None else self._first_bus(model)
        if hotplug and not bus.takes_hotplug:
            raise BlockError(f"Bus '{bus.name}' does not support hotplugging")
        if hotplug:
            self._check_name(name)
        device = Device(model=model, name=name, path=self._path(name), bus=bus, properties={}, is_hotplugged=hotplug)
        device.properties |= check_properties(model, properties, self._release, typed=typed)
        drive = self._drive(device) if model.is_disk else None
        self._check_iothread(device)
        bus.check_place(device, self._release)
        if model.is_disk:
            self._attach(device, self._medium(device, drive))
        self._plug(device)
        return device

    def add_drive(self, driver: str, backend: BlockBackend, bus_name: str | None) -> None:
        """Plug in the device that a -drive with an interface stands for. Raises EngineError."""
        model = device_model(driver)
        assert model
        bus = self._named_bus(model, bus_name) if bus_name is not None else self._first_bus(model)
        device = Device(model=model, name=None, path=self._path(None), bus=bus, properties={}, is_hotplugged=False)
        if backend.node is not None or model.is_removable:
            self._attach(device, backend)
            self._plug(device)

    def _attach(self, device: Device, backend: BlockBackend) -> None:
        """Give a device its drive. Raises BlockError when other users of the node are in the way."""
        needed, shared = Permission.CONSISTENT_READ, Permission.CONSISTENT_READ | Permission.WRITE_UNCHANGED
        node = backend.node
        if node is not None and node.is_writable and not device.model.is_removable:
            needed |= Permission.WRITE
        if device.properties.get("share-rw") is True:
            shared |= Permission.WRITE
        before = backend.permissions, backend.shared
        backend.attached_device = device.shown_name
        try:
            backend.set_permissions(needed, shared | Permission.RESIZE)
            if device.bus.iothread is not None:
                iothread.move_backend(backend, device.bus.iothread)
        except BlockError:
            backend.set_permissions(*before)
            backend.attached_device = ""
            if not backend.name:
                # It was made for the device.
                backend.give_up()
            raise
        backend.has_io_status = True
        if "write-cache" in device.properties:
            backend.write_cache = device.properties["write-cache"] != "off"
        device.guest = GuestDevice(path=device.shown_name, backend=backend, is_removable=device.model.is_removable)

    def _plug(self, device: Device) -> None:
        device.bus.devices.append(device)
        self._devices.append(device)
        kind = device.model.provides
        device.own_bus = bus_of(device, sum(bus.kind == kind and not _is_named(bus) for bus in self._buses))
        if device.own_bus is not None:
            # The machine's own PCI bus is found before those behind it, of others the newest.
            self._buses.insert(len(self._buses) if kind in (PCI, PCI_EXPRESS) else 0, device.own_bus)

    def forget(self, device: Device) -> None:
        """Take a device off its bus; those on its own bus have gone before."""
        self._devices.remove(device)
        device.bus.devices.remove(device)
        if device.own_bus is not None:
            self._buses.remove(device.own_bus)

    # What is checked before.

    def _check_early(self, name: str | None) -> None:
        """What was said of an id before anything else, in releases that read options first."""
        if name is not None and self._release < QEMU_10_0 and not is_identifier(name):
            raise BlockError("Parameter 'id' expects an identifier")
        if self._release < QEMU_7_2:
            self._check_name(name)

    def _check_name(self, name: str | None) -> None:
        if name is None:
            return
        if self._release >= QEMU_11_1 and not is_identifier(name):
            raise BlockError(f"Invalid qdev ID '{name}'")
        if any(device.name == name for device in self._devices):
            old = f"Duplicate ID '{name}' for device"
            raise BlockError(old if self._release < QEMU_7_2 else f"Duplicate device ID '{name}'")

    def _named_bus(self, model: DeviceModel, name: str) -> Bus:
        bus = next((bus for bus in self._buses if bus.name == name), None)
        if bus is None:
            raise OptionError(f"Bus '{name}' not found")
        if not fits(model, bus.kind):
            raise OptionError(f"Device '{model.name}' can't go on {bus.kind} bus")
        return bus

    def _first_bus(self, model: DeviceModel) -> Bus:
        fitting = [bus for bus in self._buses if fits(model, bus.kind)]
        if not fitting:
            # Each virtio device on another bus has such a bus for its own backend; they count since 11.
            if model.bus == VIRTIO and self._release >= QEMU_11_1 and any(one.model.backend for one in self):
                raise OptionError(f"A '{VIRTIO}' bus was found but is full")
            raise OptionError(f"No '{model.bus}' bus found for device '{model.name}'")
        return fitting[0]

    def _path(self, name: str | None) -> str:
        if name is not None:
            return f"{NAMED}/{name}"
        taken = {device.path for device in self._devices}
        return next(path for number in range(1 << 16) if (path := f"{NAMELESS}/device[{number}]") not in taken)

    def _check_iothread(self, device: Device) -> None:
        name = str(device.properties.get("iothread", "")).rpartition("/")[2]
        if name and not self._has_iothread(name):
            raise QmpError("DeviceNotFound", f"Device '{name}' not found")

    def _drive(self, device: Device) -> BlockBackend | Node | None:
        """What `drive` names: a -drive's backend, a node, or nothing. Raises OptionError."""
        name = str(device.properties.get("drive", ""))
        if not name:
            return None
        backend = self._graph.backends.get(name)
        if backend is not None and backend.attached_device:
            raise OptionError(f"Drive '{name}' is already in use by another device")
        found = backend or self._graph.nodes.get(name)
        if found is None:
            raise OptionError(f"Property '{device.model.drive_owner}.drive' can't find value '{name}'")
        return found

    def _medium(self, device: Device, drive: BlockBackend | Node | None) -> BlockBackend:
        """A backend for the device, empty where that does. Raises OptionError when a medium is needed."""
        if isinstance(drive, BlockBackend):
            if drive.node is None and not device.model.is_removable:
                raise OptionError("Device needs media, but drive is empty")
            return drive
        if drive is None and not device.model.is_removable:
            raise OptionError("drive property not set")
        made = BlockBackend(self._graph)
        if drive is not None:
            made.insert(drive)
        return made


def _name_of(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _bus_name(value: JsonValue, *, typed: bool) -> str | None:
    """A bus's name; what is no text counted once as its text, later as nothing."""
    return value if isinstance(value, str) or value is None else None if typed else str(value)


def is_path_of(name: str, path: str) -> bool:
    """Whether a client means the object at `path` by `name`, which may be only its end."""
    return path == name or (not name.startswith("/") and path.endswith(f"/{name}"))


def _is_named(bus: Bus) -> bool:
    return bus.owner is not None and bus.owner.name is not None
