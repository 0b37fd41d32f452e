"""Reads an argv: which option has which argument, and what it asks for.

Options are taken in the order in which they come, but what they need of each other is looked up at the end: a monitor
may name a character device that comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from backcheck_engine.commandline.characters import parse_chardev, parse_short
from backcheck_engine.commandline.errors import CommandLineError, HelpRequested
from backcheck_engine.commandline.settings import (
    BlockdevSettings,
    Characters,
    CharactersSettings,
    DeviceSettings,
    MonitorMode,
    MonitorSettings,
    OtherCharacters,
    Settings,
)
from backcheck_engine.commandline.syntax import check_identifier, parse_flat, parse_nested, small_number
from backcheck_engine.commandline.table import OPTIONS, Treatment
from backcheck_engine.errors import EngineError, OptionError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.qapi.policy import ACTIONS
from backcheck_engine.release import QEMU_7_2, QEMU_10_0, QEMU_11_1, Release

_HELP_WORDS: Final = ("help", "?")
_DISKS: Final = {
    "hda": ("0", "disk"),
    "hdb": ("1", "disk"),
    "hdc": ("2", "disk"),
    "hdd": ("3", "disk"),
    "cdrom": ("2", "cdrom"),
}
_POLICIES: Final = {"deprecated-input": "deprecated", "unstable-input": "unstable"}


def parse(argv: list[str], program: str, release: Release, warn: Callable[[str], object]) -> Settings:
    """What the arguments ask for; `warn` gets the lines of warnings. Raises CommandLineError or HelpRequested."""
    reader = _Reader(program, release, warn)
    for name, argument, location in _given(argv, release):
        try:
            reader.take(name, argument, location)
        except CommandLineError:
            raise
        except EngineError as error:
            raise CommandLineError.at(location, error) from error
    return reader.finish()


def _given(argv: list[str], release: Release) -> Iterator[tuple[str, str, str]]:
    """(option, argument, how it was given) for each option; a bare word is a disk image."""
    words = iter(argv)
    for word in words:
        if not word.startswith("-") or word == "-":
            yield "hda", word, word
            continue
        name = word[2:] if word.startswith("--") else word[1:]
        option = OPTIONS.get(name)
        if option is None or not option.exists_in(release):
            raise CommandLineError("invalid option", word)
        if option.treatment is Treatment.REFUSED:
            raise CommandLineError("backcheck-engine does not implement this option", word)
        if not option.argument:
            yield name, "", word
            continue
        argument = next(words, None)
        if argument is None:
            raise CommandLineError("requires an argument", word)
        if option.treatment is Treatment.HONOURED:
            yield name, argument, f"{word} {argument}"


class _Reader:
    """Collects what the options ask for."""

    def __init__(self, program: str, release: Release, warn: Callable[[str], object]) -> None:
        self._release = release
        self._write_warning = warn
        self._settings = Settings(program=program)
        self._characters: dict[str, CharactersSettings] = {}
        self._used: set[str] = set()
        self._waiting_monitors: list[tuple[str, MonitorMode, bool, str]] = []
        self._has_stdio = False
        self._take: dict[str, Callable[[str, str], None]] = {
            "h": self._help,
            "help": self._help,
            "version": self._version,
            "machine": self._machine,
            "M": self._machine,
            "accel": self._accel,
            "name": self._name,
            "uuid": self._uuid,
            "drive": self._drive,
            "blockdev": self._blockdev,
            "device": self._device,
            "object": self._object,
            "chardev": self._chardev,
            "mon": self._mon,
            "qmp": self._qmp,
            "qmp-pretty": self._qmp_pretty,
            "monitor": self._monitor,
            "pidfile": self._pidfile,
            "daemonize": self._daemonize,
            "S": self._paused,
            "add-fd": self._add_fd,
            "compat": self._compat,
            "trace": self._trace,
            "D": self._log_file,
            "d": self._log_items,
            "msg": self._message_format,
        }

    def take(self, name: str, argument: str, location: str) -> None:
        """One option. Raises OptionError or HelpRequested."""
        if name in _DISKS:
            self._disk(*_DISKS[name], argument, location)
        elif name in self._take:
            self._take[name](argument, location)

    def finish(self) -> Settings:
        """What is asked for, once all options are known. Raises CommandLineError."""
        for name, mode, pretty, location in self._waiting_monitors:
            if name not in self._characters:
                raise CommandLineError(f'chardev "{name}" not found', location)
            if name in self._used:
                in_use = (
                    f"Device '{name}' is in use" if self._release < QEMU_10_0 else f"chardev '{name}' is already in use"
                )
                raise CommandLineError(in_use, location)
            self._used.add(name)
            self._settings.monitors.append(MonitorSettings(self._characters[name], mode, pretty))
        self._settings.idle_characters = [
            characters for name, characters in self._characters.items() if name not in self._used
        ]
        return self._settings

    # Information.

    def _help(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.help import help_text

        raise HelpRequested(help_text(self._settings.program, self._release))

    def _version(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.help import version_text

        raise HelpRequested(version_text(self._release))

    # The machine.

    def _machine(self, argument: str, location: str) -> None:
        items = parse_flat(argument, "type")
        words = [item.value if item.key == "type" else item.key for item in items]
        if any(word in _HELP_WORDS for word in words):
            from backcheck_engine.commandline.help import machine_help

            raise HelpRequested(machine_help())
        for item in items:
            if item.key == "type":
                self._check_machine(item.value, location)
                self._settings.machine = item.value

    def _check_machine(self, name: str, location: str) -> None:
        from backcheck_engine.commandline.devices import is_machine

        if not is_machine(name):
            problem = (
                f'unsupported machine type: "{name}"' if self._release >= QEMU_10_0 else "unsupported machine type"
            )
            hint = "Use -machine help to list supported machines"
            raise CommandLineError(problem, location if self._release < QEMU_7_2 else "", hint=hint)

    def _accel(self, argument: str, location: str) -> None:
        name = parse_flat(argument, "accel")[0].value if argument else ""
        if name in _HELP_WORDS:
            from backcheck_engine.commandline.help import accelerator_help

            raise HelpRequested(accelerator_help())
        from backcheck_engine.commandline.devices import KNOWN_ACCELERATORS

        if name not in KNOWN_ACCELERATORS:
            raise OptionError(f"invalid accelerator {name}")

    def _name(self, argument: str, location: str) -> None:
        for item in parse_flat(argument, "guest"):
            if item.key not in ("guest", "process", "debug-threads"):
                raise OptionError(f"Invalid parameter '{item.key}'")
            if item.key == "guest":
                self._settings.name = item.value

    def _uuid(self, argument: str, location: str) -> None:
        digits = argument.replace("-", "")
        if [len(part) for part in argument.split("-")] != [8, 4, 4, 4, 12] or not _is_hexadecimal(digits):
            raise OptionError("failed to parse UUID string: wrong format")
        self._settings.uuid = argument.lower()

    def _paused(self, argument: str, location: str) -> None:
        self._settings.paused = True

    def _daemonize(self, argument: str, location: str) -> None:
        self._settings.daemonize = True

    def _pidfile(self, argument: str, location: str) -> None:
        self._settings.pidfile = argument

    def _add_fd(self, argument: str, location: str) -> None:
        options = {item.key: item.value for item in parse_flat(argument)}
        descriptor = small_number(options.get("fd", ""))
        if descriptor is None:
            raise OptionError("fd option is required and must be non-negative")
        if descriptor < 3:
            raise OptionError("fd cannot be a standard I/O stream")
        raise OptionError("backcheck-engine does not implement fd sets yet")

    def _compat(self, argument: str, location: str) -> None:
        for item in parse_flat(argument):
            if item.key in ("deprecated-output", "unstable-output"):
                continue
            if item.key not in _POLICIES:
                raise OptionError(f"Parameter '{item.key}' is unexpected")
            if item.value not in ACTIONS:
                raise OptionError(f"Parameter '{item.key}' does not accept value '{item.value}'")
            policy = {_POLICIES[item.key]: item.value}
            self._settings.input_policy = self._settings.input_policy._replace(**policy)

    # What is traced.

    def _trace(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.traces import take_trace

        take_trace(self._settings.trace, argument)

    def _log_file(self, argument: str, location: str) -> None:
        self._settings.trace.log_file = argument

    def _log_items(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.traces import take_log_items

        take_log_items(self._settings.trace, argument)

    def _message_format(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.traces import take_message_format

        take_message_format(self._settings.trace, argument)

    # Block devices.

    def _drive(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.drives import parse_drive

        for item in parse_flat(argument):
            if item.key == "format" and item.value in _HELP_WORDS:
                from backcheck_engine.commandline.help import format_help

                raise HelpRequested(format_help())
            if item.is_flag and item.key not in _HELP_WORDS and self._release >= QEMU_7_2:
                self._warn_about_flag(item.key, item.value, location)
        drive = parse_drive(argument, location)
        if drive.name and any(drive.name == other.name for other in self._settings.drives):
            raise OptionError(f"Duplicate ID '{drive.name}' for drive")
        self._settings.drives.append(drive)

    def _warn_about_flag(self, key: str, value: str, location: str) -> None:
        written = key if value == "on" else f"no{key}"
        self._warn(f"{location}: warning: short-form boolean option '{written}' deprecated")
        self._write_warning(f"Please use {key}={value} instead\n")

    def _disk(self, index: str, media: str, filename: str, location: str) -> None:
        """-hda and its like, and a bare filename."""
        from backcheck_engine.commandline.drives import parse_drive

        implied = (("index", index), ("media", media), ("file", filename))
        self._settings.drives.append(parse_drive("", location, implied=implied))

    def _blockdev(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.text_values import TextValidator
        from backcheck_engine.qapi.schema import schema_of
        from backcheck_engine.qapi.validation import Validator

        schema = schema_of(self._release)
        is_json = argument.startswith("{")
        tree = self._json(argument) if is_json else parse_nested(argument, "driver")
        validator = Validator(schema) if is_json else TextValidator(schema)
        checked = validator.check(tree, schema.struct("BlockdevOptions"))
        self._settings.blockdevs.append(BlockdevSettings(tree=checked, location=location))

    def _device(self, argument: str, location: str) -> None:
        is_json = argument.startswith("{")
        properties: JsonObject = (
            self._json(argument) if is_json else {item.key: item.value for item in parse_flat(argument, "driver")}
        )
        driver = str(properties.pop("driver", ""))
        if driver in _HELP_WORDS or "help" in properties:
            from backcheck_engine.commandline.help import device_help

            raise HelpRequested(device_help())
        name = properties.get("id")
        if isinstance(name, str):
            check_identifier(name)
            if any(name == other.properties.get("id") for other in self._settings.devices):
                raise OptionError(f"Duplicate ID '{name}' for device")
        self._settings.devices.append(DeviceSettings(driver, properties, location, is_json))

    def _object(self, argument: str, location: str) -> None:
        from backcheck_engine.commandline.objects import parse_object

        found = parse_object(self._json(argument) if argument.startswith("{") else argument, location, self._release)
        if any(found.name == other.name for other in self._settings.objects):
            raise OptionError(f"Duplicate ID '{found.name}' for object")
        self._settings.objects.append(found)

    # Monitors.

    def _chardev(self, argument: str, location: str) -> None:
        if argument in _HELP_WORDS:
            from backcheck_engine.commandline.help import character_help

            raise HelpRequested(character_help())
        name, device = parse_chardev(argument)
        if name in self._characters:
            raise OptionError(f"Duplicate ID '{name}' for chardev")
        self._claim_stdio(device)
        self._characters[name] = CharactersSettings(device, location)

    def _mon(self, argument: str, location: str) -> None:
        if self._release >= QEMU_11_1:
            deprecated = "'-mon' is deprecated, use '-object' with 'monitor-hmp' or 'monitor-qmp' types instead"
            self._warn(f"{location}: warning: {deprecated}")
        options = {item.key: item.value for item in parse_flat(argument, "chardev")}
        name = options.get("chardev")
        if name is None:
            raise OptionError("Parameter 'chardev' is missing")
        mode = options.get("mode", MonitorMode.READLINE.value)
        modes = [known.value for known in MonitorMode]
        if mode not in modes:
            new = f"Parameter 'mode' does not accept value '{mode}'"
            raise OptionError(f"Invalid parameter '{mode}'" if self._release < QEMU_7_2 else new)
        pretty = options.get("pretty", "off") in ("on", "yes", "true", "y")
        self._waiting_monitors.append((name, MonitorMode(mode), pretty, location))

    def _qmp(self, argument: str, location: str) -> None:
        self._short_monitor(argument, MonitorMode.CONTROL, location)

    def _qmp_pretty(self, argument: str, location: str) -> None:
        self._short_monitor(argument, MonitorMode.CONTROL, location, pretty=True)

    def _monitor(self, argument: str, location: str) -> None:
        if argument != "none":
            self._short_monitor(argument, MonitorMode.READLINE, location)

    def _short_monitor(self, argument: str, mode: MonitorMode, location: str, *, pretty: bool = False) -> None:
        kind, separator, name = argument.partition(":")
        if kind == "chardev" and separator:
            self._waiting_monitors.append((name, mode, pretty, location))
            return
        try:
            device = parse_short(argument)
        except OptionError as error:
            # QEMU says the second half as a message of its own.
            also = f"{self._settings.program}: {location}: {error.hint}" if error.hint else None
            raise CommandLineError(error.message, location, hint=also) from error
        self._claim_stdio(device)
        self._settings.monitors.append(MonitorSettings(CharactersSettings(device, location), mode, pretty))

    def _claim_stdio(self, device: Characters) -> None:
        if device is OtherCharacters.STDIO:
            if self._has_stdio:
                raise OptionError("cannot use stdio by multiple character devices")
            self._has_stdio = True

    def _json(self, argument: str) -> JsonObject:
        from backcheck_engine.qapi.json_parser import parse_text

        tree = parse_text(argument, self._release)
        assert isinstance(tree, dict)
        return tree

    def _warn(self, text: str) -> None:
        self._write_warning(f"{self._settings.program}: {text}\n")


def _is_hexadecimal(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
