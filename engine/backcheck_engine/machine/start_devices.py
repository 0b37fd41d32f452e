"""Builds what the command line asks for: objects, nodes, drives and the guest's devices, in QEMU's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.throttling import ThrottleLimits
from backcheck_engine.commandline.devices import device_model, has_property
from backcheck_engine.commandline.errors import CommandLineError
from backcheck_engine.complaints import working_on
from backcheck_engine.errors import BlockError, EngineError, OptionError
from backcheck_engine.monitor.block import add_node
from backcheck_engine.monitor.guest_device import GuestDevice

if TYPE_CHECKING:
    from backcheck_engine.commandline.devices import DeviceModel
    from backcheck_engine.commandline.drives import DriveSettings
    from backcheck_engine.commandline.settings import DeviceSettings, Settings
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context

_EMPTY_MACHINE: Final = "none"
_UNITS_OF_A_BUS: Final = {"ide": 2, "scsi": 7}
_MEDIA_NAMES: Final = {True: "-cd", False: "-hd"}
_GUEST_OF_INTERFACE: Final = {"virtio": "virtio-blk-pci", "ide": "ide-hd", "floppy": "floppy"}
_REMOVABLE: Final = ("ide-cd", "scsi-cd", "floppy")
_TRUE: Final = ("on", "yes", "true", "y", "True")


async def add_block_devices(context: Context, settings: Settings) -> None:
    """Add all of them. Raises CommandLineError, which names the option."""
    for user_object in settings.objects:
        try:
            context.objects.create(user_object.type_name, user_object.name, user_object.properties)
        except EngineError as error:
            raise CommandLineError.at(user_object.location, error) from error
    for blockdev in settings.blockdevs:
        try:
            with working_on(blockdev.location):
                await add_node(context.graph, blockdev.tree)
        except EngineError as error:
            raise CommandLineError.at(blockdev.location, error) from error
    drives = Drives(context, settings.machine)
    for drive in settings.drives:
        try:
            with working_on(drive.location):
                await drives.add(drive)
        except EngineError as error:
            raise CommandLineError.at(drive.location, error) from error
    devices = _Devices(context, settings.machine)
    for device in settings.devices:
        try:
            devices.add(device)
        except EngineError as error:
            raise CommandLineError.at(device.location, error) from error
    for backend, drive in drives.attached:
        try:
            devices.attach_drive(backend, drive)
        except EngineError as error:
            raise CommandLineError.at(drive.location, error) from error


class Drives:
    """Makes a backend of each -drive, and keeps the places on the interfaces."""

    def __init__(self, context: Context, machine: str) -> None:
        self._context = context
        self._default_interface = "none" if machine == _EMPTY_MACHINE else "ide"
        self._taken: set[tuple[str, int]] = set()
        self.attached: list[tuple[BlockBackend, DriveSettings]] = []
        """Those that the machine gives to the guest by itself."""

    async def add(self, drive: DriveSettings) -> None:
        """Make its backend and, unless it is empty, open its nodes. Raises EngineError."""
        interface = drive.interface or self._default_interface
        index = self._claim(interface, drive)
        name = drive.name or _generated_name(interface, index, is_cdrom=drive.is_cdrom)
        graph = self._context.graph
        if name in graph.backends:
            raise OptionError(f"Device with id '{name}' already exists")
        node = None
        if drive.has_medium:
            defaults: JsonObject = {"read-only": "off", "auto-read-only": "on"}
            node = await open_node(graph, defaults | drive.options, filename=drive.filename)
        try:
            backend = BlockBackend(graph, name, permissions=Permission.CONSISTENT_READ)
            backend.write_cache = drive.writeback
            if node is not None:
                node.detect_zeroes = drive.detect_zeroes
                backend.insert(node)
                backend.limit(drive.throttle_group, ThrottleLimits.from_qapi(drive.limits))
        finally:
            if node is not None:
                await node.unref()
        if interface in _GUEST_OF_INTERFACE:
            self.attached.append((backend, drive))

    def _claim(self, interface: str, drive: DriveSettings) -> int:
        """The place of a drive on its interface, counted through its buses. Raises OptionError when it is taken."""
        units = _UNITS_OF_A_BUS.get(interface, 0)
        place = drive.place
        if place.position is None and place.unit is None:
            index = next(number for number in range(1 << 16) if (interface, number) not in self._taken)
        else:
            index = place.position if place.position is not None else (place.bus or 0) * units + (place.unit or 0)
        if (interface, index) in self._taken:
            bus, unit = divmod(index, units) if units else (0, index)
            raise OptionError(f"drive with bus={bus}, unit={unit} (index={index}) exists")
        self._taken.add((interface, index))
        return index


def _generated_name(interface: str, index: int, *, is_cdrom: bool) -> str:
    units = _UNITS_OF_A_BUS.get(interface)
    if units is None:
        return f"{interface}{index}"
    bus, unit = divmod(index, units)
    return f"{interface}{bus}{_MEDIA_NAMES[is_cdrom]}{unit}"


class _Devices:
    """Makes the guest's devices; only those with a drive do anything."""

    def __init__(self, context: Context, machine: str) -> None:
        self._context = context
        self._is_empty_machine = machine == _EMPTY_MACHINE
        self._has_scsi = False
        self._anonymous = 0

    def add(self, device: DeviceSettings) -> None:
        """Attach a device to its drive, if it is one that has a drive. Raises EngineError."""
        model = device_model(device.driver)
        if model is None:
            raise OptionError(f"'{device.driver}' is not a valid device model name")
        self._check_bus(model)
        for name in device.properties:
            if not has_property(model, name):
                raise OptionError(f"Property '{model.name}.{name}' not found")
        self._has_scsi = self._has_scsi or model.provides_scsi
        if not model.is_disk:
            return
        backend = self._find_backend(model, device)
        path = self._path(model, device.properties.get("id"))
        self._attach(backend, model, path, shares_write=device.properties.get("share-rw") in _TRUE)
        if "write-cache" in device.properties:
            backend.write_cache = device.properties["write-cache"] != "off"

    def attach_drive(self, backend: BlockBackend, drive: DriveSettings) -> None:
        """Attach the device that a -drive with an interface stands for. Raises EngineError."""
        name = _GUEST_OF_INTERFACE[drive.interface or "ide"]
        model = device_model("ide-cd" if name == "ide-hd" and drive.is_cdrom else name)
        assert model
        if backend.attached_device:
            return
        if self._is_empty_machine and name == "ide-hd":
            bus, unit = (number or 0 for number in drive.place[1:])
            raise OptionError(f"machine type does not support if=ide,bus={bus},unit={unit}")
        self._check_bus(model)
        if backend.node is not None or model.name in _REMOVABLE:
            self._attach(backend, model, self._path(model, None), shares_write=False)

    def _check_bus(self, model: DeviceModel) -> None:
        if self._is_empty_machine or (model.bus == "SCSI" and not self._has_scsi):
            raise OptionError(f"No '{model.bus}' bus found for device '{model.name}'")

    def _find_backend(self, model: DeviceModel, device: DeviceSettings) -> BlockBackend:
        name = device.properties.get("drive")
        if name is None:
            if model.name in _REMOVABLE:
                return BlockBackend(self._context.graph)
            raise OptionError("drive property not set")
        graph = self._context.graph
        backend = graph.backends.get(name)
        if backend is not None:
            if backend.attached_device:
                raise OptionError(f"Drive '{name}' is already in use by another device")
            if backend.node is None and model.name not in _REMOVABLE:
                raise OptionError("Device needs media, but drive is empty")
            return backend
        node = graph.nodes.get(name)
        if node is None:
            owner = model.drive_owner or model.name
            raise OptionError(f"Property '{owner}.drive' can't find value '{name}'")
        backend = BlockBackend(graph)
        backend.insert(node)
        return backend

    def _path(self, model: DeviceModel, identity: str | None) -> str:
        if identity is not None and not model.child:
            return identity
        if identity is not None:
            return f"/machine/peripheral/{identity}/{model.child}"
        path = f"/machine/peripheral-anon/device[{self._anonymous}]"
        self._anonymous += 1
        return f"{path}/{model.child}" if model.child else path

    def _attach(self, backend: BlockBackend, model: DeviceModel, path: str, *, shares_write: bool) -> None:
        is_removable = model.name in _REMOVABLE
        needed, shared = Permission.CONSISTENT_READ, Permission.CONSISTENT_READ | Permission.WRITE_UNCHANGED
        node = backend.node
        if node is not None and node.is_writable and not is_removable:
            needed |= Permission.WRITE
        if shares_write:
            shared |= Permission.WRITE
        backend.attached_device = path
        try:
            backend.set_permissions(needed, shared | Permission.RESIZE)
        except BlockError:
            backend.attached_device = ""
            raise
        backend.has_io_status = True
        self._context.guests.append(
            GuestDevice(model=model.name, path=path, backend=backend, is_removable=is_removable)
        )
