"""Requests that have reached a recording target, as a case sees them, and how a golden has them."""

import errno as errno_names
from collections.abc import Sequence
from typing import Literal, TypeAlias

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.nbd_target.coverage import covered
from backcheck.nbd_target.server import Recorded
from backcheck.nbd_target.wire import Kind, RequestFlag
from backcheck.recording.recorder import Recorder
from backcheck.story.expectations import wire_name
from backcheck.story.jobs import Moment

Operation: TypeAlias = Literal["read", "write", "write-zeroes", "trim", "flush", "block-status", "change"]
"""What a request asks for; `change` is any of write, write-zeroes and trim."""
Range: TypeAlias = tuple[int, int]
"""Offset and length."""

CHANGES = (Kind.WRITE, Kind.WRITE_ZEROES, Kind.TRIM)


class TargetRequest:
    """A request that has reached the target."""

    def __init__(self, target_name: str, recorder: Recorder, recorded: Recorded) -> None:
        self._target_name = target_name
        self._recorder = recorder
        self._recorded = recorded
        self.number = recorded.number
        self.kind = recorded.kind
        self.operation = recorded.kind.value
        self.offset = recorded.offset
        self.length = recorded.length
        self.fua = recorded.fua
        self.no_hole = RequestFlag.NO_HOLE in recorded.flags
        """Whether what it zeroes must keep its place on the disk."""
        self.pattern = recorded.pattern
        """The byte of which all data of a write is, or None."""
        self.digest = recorded.digest
        """The first 16 digits of the SHA-256 of the data of a write."""
        self.connection = recorded.connection
        """0 for a request on the first connection that the target had."""

    @property
    def done(self) -> bool:
        """Whether it was carried out, and its client told so."""
        return self._recorded.done

    @property
    def error(self) -> int | None:
        """The errno that its client was told, 0 for success, None as long as it has no answer."""
        return self._recorded.error

    @property
    def arrived(self) -> Moment:
        """When it came."""
        return Moment(at=self._recorded.arrived, what=f"the arrival of {self} at {self._target_name}")

    @property
    def answered(self) -> Moment:
        """When it was answered; waits for that."""
        at = self._recorder.wait(lambda: self._recorded.answered, waiting_for=f"{self._target_name} to answer {self}")
        return Moment(at=at, what=f"the answer of {self._target_name} to {self}")

    def __str__(self) -> str:
        return str(self._recorded)


def kinds_of(operation: Operation) -> tuple[Kind, ...]:
    """The kinds of requests that a word means. Raises UsageError for one that means none."""
    if operation == "change":
        return CHANGES
    try:
        return (Kind(operation),)
    except ValueError as error:
        known = ", ".join([*(kind.value for kind in Kind if kind is not Kind.DISCONNECT), "change"])
        raise UsageError(f"a request is {known}, not {operation!r}") from error


def values_of(request: TargetRequest) -> JsonObject:
    """What a golden has of a request."""
    values: dict[str, JsonValue] = {"request": request.operation}
    if request.operation != "flush":
        values |= {"offset": request.offset, "length": request.length}
    if request.pattern is not None:
        values["pattern"] = request.pattern
    for flag in ("fua", "no_hole"):
        if getattr(request, flag):
            values[wire_name(flag)] = True
    if request.error:
        values["error"] = errno_names.errorcode.get(request.error, request.error)
    return values


def joined_by_offset(requests: Sequence[TargetRequest], end: int) -> list[JsonObject]:
    """Runs of one kind, one byte and one number of times, by offset."""
    groups: dict[tuple[str, int | None], list[Range]] = {}
    for request in requests:
        groups.setdefault((request.operation, request.pattern), []).append((request.offset, request.length))
    runs = [
        (part.offset, operation, pattern, part)
        for (operation, pattern), ranges in groups.items()
        for part in covered(end, ranges)
        if part.times
    ]
    joined: list[JsonObject] = []
    for _, operation, pattern, part in sorted(runs, key=lambda run: (run[0], run[1], -1 if run[2] is None else run[2])):
        values: dict[str, JsonValue] = {"request": operation, "offset": part.offset, "length": part.length}
        if pattern is not None:
            values["pattern"] = pattern
        joined.append({**values, "times": part.times})
    return joined
