"""Faults a case can put below an image, and how blkdebug spells them.

A fault names the kind of request it strikes. Which blkdebug event arms it has a default that raw and qcow2 both reach
right before they access guest data; so a fault does not strike while the image is opened.
"""

import errno as errno_names
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from backcheck.errors import UsageError
from backcheck.json_types import JsonValue

Operation: TypeAlias = Literal["read", "write", "write-zeroes", "discard", "flush"]

SECTOR_SIZE = 512
ARMING_EVENTS: Mapping[str, str] = {
    "read": "read_aio",
    "write": "write_aio",
    "write-zeroes": "none",
    "discard": "none",
    "flush": "none",
}
"""Operation -> the event that arms its fault; `none` arms it as soon as the node is there."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Requests of this kind fail with this errno (a number, as errno.EIO).

    offset: only those that touch this byte of the image file (host offset); None for any. event: another blkdebug
    event to arm it (`l2_load`, `cluster_alloc`, …).
    """

    operation: Operation
    errno: int
    offset: int | None = None
    event: str | None = None

    @property
    def once(self) -> bool:
        """Whether only the first such request fails."""
        return False

    def rule(self) -> dict[str, JsonValue]:
        """The member of blkdebug's `inject-error` list."""
        if self.operation not in ARMING_EVENTS:
            raise UsageError(f"a fault strikes {', '.join(ARMING_EVENTS)}, not {self.operation!r}")
        if self.errno not in errno_names.errorcode:
            raise UsageError(f"{self.errno} is not an errno; use errno.EIO and the like")
        rule: dict[str, JsonValue] = {
            "event": self.event or ARMING_EVENTS[self.operation],
            "iotype": self.operation,
            "errno": self.errno,
            "once": self.once,
        }
        if self.offset is not None:
            rule["sector"] = self.offset // SECTOR_SIZE
        return rule


@dataclass(frozen=True, slots=True)
class FailAlways(Fault):
    """Every such request fails."""


@dataclass(frozen=True, slots=True)
class FailOnce(Fault):
    """The first such request fails, the later ones succeed."""

    @property
    def once(self) -> bool:
        return True


FaultSpec: TypeAlias = Fault | Sequence[Fault] | None


def as_rules(fault: FaultSpec) -> list[JsonValue]:
    """blkdebug's `inject-error` list for what a case gave as `fault=`."""
    if fault is None:
        return []
    return [item.rule() for item in ([fault] if isinstance(fault, Fault) else fault)]
