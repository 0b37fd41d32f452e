"""The structured record of one case: steps, entries, lanes.

An entry is one thing that happened, typed; a lane is a sequence of entries whose order is promised (a monitor's
commands and replies, one job's states and events, one device's guest requests, the states that the case asked for, the
program's output). Entries of different lanes may have come in any order; `at` keeps the order in which they really did.
Nothing here renders or compares: that is the grammar's and the golden's business.

The raw messages, both directions with their time, are kept beside it as evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from backcheck.json_types import JsonObject, JsonValue

END_STEP = "end"
"""The title of the last step: events that came and that no step awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command the case sent; a raw object (not `{"execute": …}`) is recorded with its text as `name` by the case."""

    monitor: str
    name: str
    arguments: JsonObject
    at: int

    @property
    def lane(self) -> str:
        return self.monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the monitor answered: either `value`, or `error_class` and `description`."""

    monitor: str
    at: int
    value: JsonValue = None
    error_class: str | None = None
    description: str | None = None
    asserted: tuple[str, ...] = ()
    """Top-level keys of `value` whose values the case asserts inline; they read `(asserted)`."""

    @property
    def lane(self) -> str:
        return self.monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """JOB_STATUS_CHANGE: the job entered this state."""

    job: str
    status: str
    at: int

    @property
    def lane(self) -> str:
        return self.job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Any other event that names a job. `data` is without the key (`device` or `id`) that names it: see `id_key`."""

    job: str
    name: str
    data: JsonObject
    at: int
    id_key: str = "device"
    asserted: tuple[str, ...] = ()
    """Keys of `data` that the case asserts inline; they read `key=(asserted)`."""

    @property
    def lane(self) -> str:
        return self.job


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEvent:
    """An event that names no job, as SHUTDOWN."""

    monitor: str
    name: str
    data: JsonObject
    at: int

    @property
    def lane(self) -> str:
        return f"{self.monitor} events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A request of the guest device: `text` as `write 0x5a offset=0 length=65536`, `result` as `ok` or an error's text.

    A request that was only started has the result `pending`; its end is a second entry with the same text.
    """

    device: str
    text: str
    result: str
    at: int

    @property
    def lane(self) -> str:
        return f"guest {self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a query or a tool told about a subject, reduced to the keys that the case named."""

    subject: str
    values: JsonObject
    at: int
    asserted: tuple[str, ...] = ()
    """Keys of `values` that the case asserts inline; they read `key=(asserted)`."""

    @property
    def lane(self) -> str:
        return f"state {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A line a program printed, as `Formatting '…', fmt=qcow2 …`; `stream` is `stdout` or `stderr`."""

    text: str
    at: int
    stream: str = "stdout"

    @property
    def lane(self) -> str:
        return self.stream


Entry: TypeAlias = Command | Reply | JobStatus | JobEvent | OtherEvent | Guest | State | Output


@dataclass(slots=True, kw_only=True)
class Step:
    """A titled part of a case; the first one, before any `t.step()`, has the title None."""

    title: str | None
    entries: list[Entry] = field(default_factory=list)

    def lanes(self) -> dict[str, list[Entry]]:
        """Entries by lane, lanes in the order of their first entry here, entries in the order of the lane."""
        lanes: dict[str, list[Entry]] = {}
        for entry in self.entries:
            lanes.setdefault(entry.lane, []).append(entry)
        return lanes


class Direction(Enum):
    """Which way a raw message went, seen from the harness."""

    SENT = "->"
    RECEIVED = "<-"
    STDOUT = "stdout"
    NOTE = "--"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """One message as it was on the wire. `at` is its place in the true order of everything, `time_s` monotonic."""

    at: int
    time_s: float
    monitor: str
    direction: Direction
    message: JsonValue


@dataclass(slots=True, kw_only=True)
class Transcript:
    """All steps of a case in order (the last may be END_STEP), and the raw messages."""

    steps: list[Step] = field(default_factory=list)
    raw: list[RawMessage] = field(default_factory=list)
    keep_pairs: bool = False
    """The case is about `paused running` pairs: the normaliser that drops them is off."""
    paths: dict[str, str] = field(default_factory=dict)
    """Text that differs from run to run -> the name a reader sees, as `/tmp/bc-x1/t.qcow2` -> `t.qcow2`."""

    def entries(self) -> Iterator[Entry]:
        """All entries, step by step."""
        for step in self.steps:
            yield from step.entries
