"""The one place where everything that happens to a case is put in order.

The loop's thread records what goes over the wire, the case's thread what it does itself; each gets the next position.
The case's thread waits here for what it needs to see, and claims events for the step that waited for them.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from backcheck.errors import CaseTimeout, HarnessError, ImplementationError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.recording.events import entry_of_event, event_lane, render_raw
from backcheck.transcript import (
    END_STEP,
    Direction,
    Entry,
    JobEvent,
    RawMessage,
    Reply,
    State,
    Step,
    Transcript,
)

T = TypeVar("T")

WAIT_S = 30.0
"""How long a case waits for one thing, unless it says otherwise; half the case's time when that is more."""

POLL_S = 0.02
LAST_MESSAGES = 12


class Recorder:
    """Raw messages in true order, and the steps made from them."""

    def __init__(self, *, deadline_s: float) -> None:
        self.raw: list[RawMessage] = []
        self.problem: Callable[[], HarnessError] | None = None
        """Set by the loop's thread when the program has ended: waiting then raises what it returns."""
        self._changed = threading.Condition()
        self._deadline = time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._patience_s = max(WAIT_S, deadline_s / 2)
        self._steps = [Step(title=None)]
        self._claimed: set[int] = set()
        self._asserted: dict[int, tuple[str, ...]] = {}
        self._ignored: list[range] = []
        self._ignore_from: int | None = None

    def record(self, direction: Direction, monitor: str, message: JsonValue) -> int:
        """Adds a raw message, from any thread; returns its position."""
        with self._changed:
            at = len(self.raw)
            self.raw.append(
                RawMessage(at=at, time_s=time.monotonic(), monitor=monitor, direction=direction, message=message)
            )
            self._changed.notify_all()
            return at

    def note(self, text: str) -> int:
        """Adds something the case did that is no message; returns its position."""
        return self.record(Direction.NOTE, "", text)

    def set_problem(self, problem: Callable[[], HarnessError]) -> None:
        """From the loop's thread: nothing more will come, for this reason."""
        with self._changed:
            self.problem = problem
            self._changed.notify_all()

    def wait(self, look: Callable[[], T | None], *, waiting_for: str, seconds: float | None = None) -> T:
        """What `look` returns as soon as it is not None. It is asked after each message and now and then.

        Raises CaseTimeout, or ImplementationError as soon as the program has ended.
        """
        seconds = self._patience_s if seconds is None else seconds
        limit = min(time.monotonic() + seconds, self._deadline)
        while True:
            problem, seen = self.problem, len(self.raw)
            found = look()
            if found is not None:
                return found
            if problem is not None:
                raise problem()
            if time.monotonic() >= limit:
                raise self.timeout(waiting_for, seconds)
            with self._changed:
                if len(self.raw) == seen and self.problem is problem:
                    self._changed.wait(POLL_S)

    def wait_for_end(self, seconds: float) -> None:
        """Waits until all that the program said before its end has been recorded."""
        with self._changed:
            self._changed.wait_for(lambda: self.problem is not None, seconds)

    def remaining(self) -> float:
        """How long to wait for one thing now."""
        return max(0.0, min(self._patience_s, self._deadline - time.monotonic()))

    def timeout(self, waiting_for: str, seconds: float | None = None) -> CaseTimeout:
        """The error of waiting too long, with the last messages."""
        if time.monotonic() >= self._deadline:
            return CaseTimeout(self._deadline_s, f"the case to end; it was waiting for {waiting_for}", self.last())
        return CaseTimeout(self._patience_s if seconds is None else seconds, waiting_for, self.last())

    def last(self) -> list[str]:
        """The last messages, rendered for a person."""
        return [render_raw(message) for message in self.raw[-LAST_MESSAGES:]]

    def find_event(self, start: int, matches: Callable[[str, JsonObject], bool]) -> RawMessage | None:
        """The first event at or after a position whose name and data match."""
        for message in self.raw[start:]:
            event = _as_event(message)
            if event is not None and matches(cast(str, event["event"]), _event_data(event)):
                return message
        return None

    def claim(self, lane: str, up_to: int) -> None:
        """Puts a lane's events up to a position, as far as no step has them, into the current step."""
        for message in self.raw[: up_to + 1]:
            event = _as_event(message)
            if event is not None and self._is_free(message.at) and event_lane(message.monitor, event) == lane:
                self._claimed.add(message.at)
                self.add(entry_of_event(message.monitor, event, message.at))

    def add(self, entry: Entry) -> None:
        """Puts an entry into the current step."""
        self._steps[-1].entries.append(entry)

    def step(self, title: str) -> None:
        """Begins a step."""
        self.note(f"== {title}")
        self._steps.append(Step(title=title))

    def mark_asserted(self, at: int, keys: tuple[str, ...]) -> None:
        """The values of these keys of the entry at that position are asserted by the case, not by its golden."""
        self._asserted[at] = tuple(dict.fromkeys((*self._asserted.get(at, ()), *keys)))

    def ignore_from_here(self) -> None:
        """What comes from now on is the harness's own cleaning up, and in no step."""
        if self._ignore_from is None:
            self._ignore_from = self.note("-- the machine's part is over")

    def listen_again(self) -> None:
        """Another machine begins: what it says counts again, and the end of the one before is no problem any more."""
        self.problem = None
        if self._ignore_from is not None:
            self._ignored.append(range(self._ignore_from, len(self.raw)))
            self._ignore_from = None

    def forget_unclaimed(self) -> None:
        """What has come and no step awaited is in no step."""
        self._claimed.update(range(len(self.raw)))

    def transcript(self, *, keep_pairs: bool, paths: Mapping[str, str]) -> Transcript:
        """All steps; events that nobody awaited go into the last one."""
        self.ignore_from_here()
        end = Step(title=END_STEP)
        for message in self.raw[: self._ignore_from]:
            event = _as_event(message)
            if event is not None and self._is_free(message.at):
                end.entries.append(entry_of_event(message.monitor, event, message.at))
        steps = [*self._steps, end] if end.entries else self._steps
        return Transcript(
            steps=[Step(title=step.title, entries=[self._finish(entry) for entry in step.entries]) for step in steps],
            raw=list(self.raw),
            keep_pairs=keep_pairs,
            paths=dict(paths),
        )

    def _is_free(self, at: int) -> bool:
        """Whether what came there counts, and no step has it."""
        return at not in self._claimed and not any(at in ignored for ignored in self._ignored)

    def _finish(self, entry: Entry) -> Entry:
        asserted = self._asserted.get(entry.at)
        if asserted and isinstance(entry, JobEvent | Reply | State):
            return replace(entry, asserted=asserted)
        return entry


def no_more(reason: str, recorder: Recorder) -> ImplementationError:
    """The error for a program that ended while the case was talking to it."""
    return ImplementationError(reason, recorder.last())


def _as_event(message: RawMessage) -> JsonObject | None:
    if message.direction is not Direction.RECEIVED or not isinstance(message.message, Mapping):
        return None
    return message.message if "event" in message.message else None


def _event_data(event: JsonObject) -> JsonObject:
    data = event.get("data", {})
    return data if isinstance(data, Mapping) else {}
