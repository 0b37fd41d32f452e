"""Builds what the command line asks for: objects, nodes, drives and the guest's devices, in QEMU's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.throttling import ThrottleLimits
from backcheck_engine.commandline.errors import CommandLineError
from backcheck_engine.complaints import complain, working_on
from backcheck_engine.errors import EngineError, OptionError
from backcheck_engine.monitor.block import add_node
from backcheck_engine.release import QEMU_7_2

if TYPE_CHECKING:
    from backcheck_engine.commandline.drives import DriveSettings
    from backcheck_engine.commandline.settings import DeviceSettings, Settings
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.context import Context

_EMPTY_MACHINE: Final = "none"
_UNITS_OF_A_BUS: Final = {"ide": 2, "scsi": 7}
_UNITS_OF_Q35: Final = _UNITS_OF_A_BUS | {"ide": 1}
_MEDIA_NAMES: Final = {True: "-cd", False: "-hd"}
_GUEST_OF_INTERFACE: Final = {"virtio": "virtio-blk-pci", "ide": "ide-hd", "floppy": "floppy"}


async def add_block_devices(context: Context, settings: Settings) -> None:
    """Add all of them. Raises CommandLineError, which names the option."""
    for user_object in settings.objects:
        try:
            context.objects.create(user_object.type_name, user_object.name, user_object.properties)
        except EngineError as error:
            # Since 6.0 the option is not named: objects are made of a list that was parsed before.
            place = user_object.location if context.release < QEMU_7_2 else ""
            raise CommandLineError.at(place, error) from error
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
    for device in settings.devices:
        try:
            add_device(context, device)
        except EngineError as error:
            raise CommandLineError.at(device.location, error) from error
    for backend, drive, bus in drives.attached:
        try:
            _attach(context, backend, drive, bus)
        except EngineError as error:
            raise CommandLineError.at(drive.location, error) from error


class Drives:
    """Makes a backend of each -drive, and keeps the places on the interfaces."""

    def __init__(self, context: Context, machine: str) -> None:
        self._context = context
        self._default_interface = "none" if machine == _EMPTY_MACHINE else "ide"
        self._units = _UNITS_OF_Q35 if "q35" in machine else _UNITS_OF_A_BUS
        self._taken: set[tuple[str, int]] = set()
        self.attached: list[tuple[BlockBackend, DriveSettings, int]] = []
        """Those that the machine gives to the guest by itself, and the number of the bus that each goes on."""

    async def add(self, drive: DriveSettings) -> None:
        """Make its backend and, unless it is empty, open its nodes. Raises EngineError."""
        interface = drive.interface or self._default_interface
        index = self._claim(interface, drive)
        name = drive.name or self._generated_name(interface, index, is_cdrom=drive.is_cdrom)
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
                node.copies_on_read = drive.copies_on_read and node.is_writable
                if node.read_only and drive.copies_on_read:
                    complain("warning: disabling copy-on-read on read-only drive")
                backend.insert(node)
                backend.limit(drive.throttle_group, ThrottleLimits.from_qapi(drive.limits))
        finally:
            if node is not None:
                await node.unref()
        if interface in _GUEST_OF_INTERFACE:
            self.attached.append((backend, drive, index // self._units.get(interface, 1)))

    def _claim(self, interface: str, drive: DriveSettings) -> int:
        """The place of a drive on its interface, counted through its buses. Raises OptionError when it is taken."""
        units = self._units.get(interface, 0)
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

    def _generated_name(self, interface: str, index: int, *, is_cdrom: bool) -> str:
        units = self._units.get(interface)
        if units is None:
            return f"{interface}{index}"
        bus, unit = divmod(index, units)
        return f"{interface}{bus}{_MEDIA_NAMES[is_cdrom]}{unit}"


def add_device(context: Context, device: DeviceSettings, *, hotplug: bool = False) -> None:
    """Plug in what one -device describes. Raises EngineError."""
    context.devices.add(device.driver, {**device.properties}, hotplug=hotplug, is_json=device.is_json)


def _attach(context: Context, backend: BlockBackend, drive: DriveSettings, bus: int) -> None:
    """Plug in the device that a -drive with an interface stands for. Raises EngineError."""
    if backend.attached_device:
        return
    name = _GUEST_OF_INTERFACE[drive.interface or "ide"]
    is_ide = name == "ide-hd"
    if is_ide and context.machine == _EMPTY_MACHINE:
        raise OptionError(f"machine type does not support if=ide,bus={bus},unit={drive.place.unit or 0}")
    model = "ide-cd" if is_ide and drive.is_cdrom else name
    context.devices.add_drive(model, backend, f"ide.{bus}" if is_ide else None)
