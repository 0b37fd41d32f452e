"""What --help, --version and the `help` values of options print, in the layout that scripts know from QEMU."""

from __future__ import annotations

from backcheck_engine import version
from backcheck_engine.commandline.devices import ACCELERATORS, MACHINES
from backcheck_engine.commandline.table import shown_in
from backcheck_engine.devices.models import DEVICE_MODELS
from backcheck_engine.release import Release

_INDENT = " " * 16


def version_text(release: Release) -> str:
    shown = version.version_text(release)
    return f"QEMU emulator version {shown} ({version.PACKAGE})\nNot QEMU, but a bundled engine that answers like it\n"


def help_text(program: str, release: Release) -> str:
    lines = [version_text(release), f"usage: {program} [options] [disk_image]\n\n", "Options:\n"]
    for option in shown_in(release):
        form = f"-{option.name} {option.argument}".rstrip()
        lines.append(f"{form:<15} {option.help}\n" if len(form) < len(_INDENT) else f"{form}\n{_INDENT}{option.help}\n")
    lines.append("\nOptions of QEMU that only matter to a machine with a processor are accepted.\n")
    return "".join(lines)


def machine_help() -> str:
    listed = "".join(f"{name:<20} {description}\n" for name, description in MACHINES)
    return f"Supported machines are:\n{listed}"


def accelerator_help() -> str:
    listed = "".join(f"{name}\n" for name in ACCELERATORS)
    return f"Accelerators supported in QEMU binary:\n{listed}"


def device_help() -> str:
    disks = sorted((model for model in DEVICE_MODELS.values() if model.is_disk), key=lambda model: model.name)
    others = sorted((model for model in DEVICE_MODELS.values() if not model.is_disk), key=lambda model: model.name)
    listed = "".join(f'name "{model.name}", bus {model.bus}\n' for model in disks)
    accepted = "".join(f'name "{model.name}", bus {model.bus}\n' for model in others)
    return f"Storage devices:\n{listed}\nMisc devices:\n{accepted}"


def character_help() -> str:
    return "Available chardev backend types: \n  null\n  socket\n  stdio\n"


def format_help() -> str:
    from backcheck_engine.drivers.registry import all_names

    return f"Supported formats: {' '.join(sorted(all_names()))}\n"
