"""Guessing an image's format from its first bytes.

The table has the formats that QEMU knows, also those without a driver here: a raw image whose format was guessed must
not turn into any of them by a guest's write.
"""

import re
from collections.abc import Callable

PROBE_BYTES = 512
"""How much of an image is looked at."""

RAW = "raw"

_VMDK_TEXT = re.compile(rb"(?:#[^\n]*\n| +\r?\n)*version=[123]\r?\n")


def _starts_with(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magics)


def _is_qcow2(data: bytes) -> bool:
    return data.startswith(b"QFI\xfb") and int.from_bytes(data[4:8], "big") >= 2


def _is_vmdk(data: bytes) -> bool:
    return data.startswith((b"KDMV", b"COWD")) or _VMDK_TEXT.match(data) is not None


_FORMATS: dict[str, Callable[[bytes], bool]] = {
    "qcow2": _is_qcow2,
    "qcow": _starts_with(b"QFI\xfb\0\0\0\1"),
    "vmdk": _is_vmdk,
    "vdi": lambda data: data[0x40:0x44] == b"\x7f\x10\xda\xbe",
    "vpc": _starts_with(b"conectix"),
    "vhdx": _starts_with(b"vhdxfile"),
    "qed": _starts_with(b"QED\0"),
    "luks": _starts_with(b"LUKS\xba\xbe\0\1"),
    "parallels": lambda data: (
        data.startswith((b"WithoutFreeSpace", b"WithouFreSpacExt")) and data[16:20] == b"\2\0\0\0"
    ),
    "bochs": lambda data: data.startswith(b"Bochs Virtual HD Image\0") and data[32:].startswith(b"Redolog\0"),
    "cloop": _starts_with(b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"),
}


def probe(data: bytes) -> str:
    """The name of the format that an image starting with `data` has; "raw" when no other fits."""
    return next((name for name, fits in _FORMATS.items() if fits(data)), RAW)
