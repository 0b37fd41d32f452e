"""Which machines and accelerators the engine knows."""

from __future__ import annotations

import re
from typing import Final

MACHINES: Final = (
    ("none", "empty machine"),
    ("pc", "accepted; its block devices work"),
    ("q35", "accepted; its block devices work"),
    ("microvm", "accepted; its block devices work"),
)
_MACHINE: Final = re.compile(r"none|microvm|isapc|(?:pc|q35|x-remote)|pc-(?:i440fx|q35)-\d+\.\d+")

ACCELERATORS: Final = ("tcg", "kvm")
KNOWN_ACCELERATORS: Final = (*ACCELERATORS, "qtest", "xen", "hax", "hvf", "whpx", "nvmm", "mshv", "nitro")


def is_machine(name: str) -> bool:
    return bool(_MACHINE.fullmatch(name))
