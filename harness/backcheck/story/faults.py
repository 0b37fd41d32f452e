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

Operation: TypeAlias = Literal["read", "write", "write-zeroes", "discard", "flush", "block-status"]

SECTOR_SIZE = 512
NO_SECTOR = 1 << 40
FIRST_STATE, SECOND_STATE = 1, 2
ARMING_EVENTS: Mapping[str, str] = {
    "read": "read_aio",
    "write": "write_aio",
    "write-zeroes": "none",
    "discard": "none",
    "flush": "none",
    "block-status": "none",
}
"""Operation -> the event that arms its fault; `none` arms it as soon as the node is there."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Requests of this kind fail with this errno (a number, as errno.EIO).

    offset: only those that touch this byte of the image file (host offset); None for any. event: another blkdebug
    event to arm it (`l2_load`, `cluster_alloc`, …). until, since: it ends, or begins, with the first blkdebug event of
    that name, one name for all faults of a node; `flush_to_os` is a guest's flush. immediately: it strikes before the
    request waits for anything.
    """

    operation: Operation
    errno: int
    offset: int | None = None
    event: str | None = None
    until: str | None = None
    since: str | None = None
    immediately: bool = False

    @property
    def once(self) -> bool:
        """Whether only the first such request fails."""
        return False

    @property
    def armed_by(self) -> str:
        """The blkdebug event that arms it."""
        return self.event or ARMING_EVENTS[self.operation]

    def rule(self) -> dict[str, JsonValue]:
        """The member of blkdebug's `inject-error` list."""
        if self.operation not in ARMING_EVENTS:
            raise UsageError(f"a fault strikes {', '.join(ARMING_EVENTS)}, not {self.operation!r}")
        if self.errno not in errno_names.errorcode:
            raise UsageError(f"{self.errno} is not an errno; use errno.EIO and the like")
        rule: dict[str, JsonValue] = {
            "event": self.armed_by,
            "iotype": self.operation,
            "errno": self.errno,
            "once": self.once,
        }
        if self.offset is not None:
            rule["sector"] = self.offset // SECTOR_SIZE
        if self.until or self.since:
            rule["state"] = FIRST_STATE if self.until else SECOND_STATE
        if self.immediately:
            rule["immediately"] = True
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


def as_rules(fault: FaultSpec) -> dict[str, JsonValue]:
    """blkdebug's lists, `inject-error` and `set-state`, for what a case gave as `fault=`; only those that it needs."""
    faults = [] if fault is None else [fault] if isinstance(fault, Fault) else list(fault)
    rules: dict[str, JsonValue] = {}
    if faults:
        rules["inject-error"] = [*(item.rule() for item in faults), *_disarming(faults)]
    turns = {event for item in faults for event in (item.until, item.since) if event}
    if len(turns) > 1:
        raise UsageError(f"the faults of a node begin and end with one event, not with {', '.join(sorted(turns))}")
    if turns:
        rules["set-state"] = [{"event": turns.pop(), "state": FIRST_STATE, "new_state": SECOND_STATE}]
    return rules


def _disarming(faults: Sequence[Fault]) -> list[dict[str, JsonValue]]:
    """Faults that strike nothing: what a blkdebug event has armed stays so until it arms something else."""
    ending = {item.armed_by for item in faults if item.until}
    if "none" in ending:
        raise UsageError("a fault that ends with an event is armed by one: give its event=")
    return [
        {"event": event, "errno": errno_names.EIO, "sector": NO_SECTOR, "state": SECOND_STATE}
        for event in sorted(ending - {item.armed_by for item in faults if item.since})
    ]
