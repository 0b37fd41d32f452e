"""A job as a case sees it: its start, states, verbs, events and end.

Waiting claims: the job's states and events up to what was awaited go into the current step of the golden, later ones
into the step that awaits them, the rest under `== end`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, number, objects
from backcheck.qmp import Exchange
from backcheck.recording.job_lane import JobLane, event_data, event_name, show, status_of
from backcheck.story.expectations import Expected, asserted_keys, chosen, render_expected, render_got, wrong_keys
from backcheck.story.images import Image
from backcheck.story.session import Session
from backcheck.transcript import RawMessage, State

Status: TypeAlias = Literal[
    "created",
    "running",
    "paused",
    "ready",
    "standby",
    "waiting",
    "pending",
    "aborting",
    "concluded",
    "null",
]
Family: TypeAlias = Literal["job", "block-job"]

STABLE_STATES = ("paused", "pending", "concluded", "null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened, and when, for `t.expect_before()`."""

    at: int
    what: str


class Job:
    """A block job. `start` is the command that started it, with its reply."""

    def __init__(
        self,
        session: Session,
        job_id: str,
        start: Exchange,
        *,
        target: Image | None = None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
        speed: int = 0,
    ) -> None:
        self.id = job_id
        self.start = start
        self.speed = speed
        self._target = target
        self._session = session
        self._auto_finalize = auto_finalize
        self._auto_dismiss = auto_dismiss
        self._last = start
        self._lane = JobLane(session, job_id, start.sent_at)
        self._cursor = self._since = self._first = start.sent_at
        self._next_event: dict[str, int] = {}

    @property
    def target(self) -> Image:
        """The image that drive-backup writes. Raises UsageError for a job that was given a node."""
        if self._target is None:
            raise UsageError(f"{self.id} writes to a node of the case: look at that one's image")
        return self._target

    @property
    def reply(self) -> Moment:
        """The reply of the command that started it."""
        return Moment(at=self.start.reply_at, what=f"the reply to {self.start.name}")

    @property
    def verb_reply(self) -> Moment:
        """The reply of its last verb, or of its start when there was none."""
        return Moment(at=self._last.reply_at, what=f"the reply to {self._last.name}")

    # Waiting

    def wait(self) -> "Job":
        """Waits until the job is where it does not move on by itself.

        That is `null`; `concluded` with auto-dismiss=false; `pending` with auto-finalize=false until it is finalized.
        """
        self._reach(self._resting_states())
        # QEMU 5.2 closes the target after the last event: once it answers something else, it has.
        self._session.ask("query-status")
        return self

    def reach(self, status: Status, *, seconds: float | None = None) -> Moment:
        """Waits for the next change to that state, counting from the last verb that was sent, or from the start."""
        return self._reach((_known(status),), seconds)

    def state(self, status: Status) -> Moment:
        """The job's first change to that state since its start; waits for it if it has not come."""
        return self._claim(self._lane.wait_status((_known(status),), self._first))

    def event(self, name: str, *, seconds: float | None = None, **data: Expected) -> Moment:
        """Waits for the job's next event of that name, as BLOCK_JOB_ERROR, and expects these values in its data.

        Next is the one after the last that this method gave, whatever else was awaited meanwhile.
        """
        message = self._lane.wait_event(name, self._next_event.get(name, self._first), seconds)
        self._next_event[name] = message.at + 1
        self._expect_data(message, data)
        return self._claim(message)

    def stopped(self, operation: Literal["read", "write"]) -> Moment:
        """Waits for the next BLOCK_JOB_ERROR, which must be of that operation and stop the job, and for `paused`."""
        error = self.event("BLOCK_JOB_ERROR", operation=operation, action="stop")
        return self._claim(self._lane.wait_status(("paused",), error.at))

    # Verbs, of both families

    def pause(self, family: Family = "job") -> "Job":
        """job-pause, or block-job-pause. A `paused` that is over before the reply is none to reach(): a drain's."""
        self.verb("pause", family)
        self._since = self._lane.standing_at(self._last.reply_at)
        return self

    def resume(self, family: Family = "job") -> "Job":
        """job-resume, or block-job-resume."""
        return self.verb("resume", family)

    def cancel(self, family: Family = "job", *, force: bool | None = None) -> "Job":
        """job-cancel, or block-job-cancel, which alone knows `force`."""
        return self.verb("cancel", family, {} if force is None else {"force": force})

    def finalize(self, family: Family = "job") -> "Job":
        """job-finalize, or block-job-finalize."""
        self.verb("finalize", family)
        self._auto_finalize = True
        return self

    def dismiss(self, family: Family = "job") -> "Job":
        """job-dismiss, or block-job-dismiss."""
        self.verb("dismiss", family)
        self._auto_dismiss = True
        return self

    def complete(self, family: Family = "job") -> "Job":
        """job-complete, or block-job-complete; no backup accepts it."""
        return self.verb("complete", family)

    def set_speed(self, speed: int) -> "Job":
        """block-job-set-speed, in bytes a second."""
        self._send("block-job-set-speed", {"device": self.id, "speed": speed})
        self.speed = speed
        return self

    def verb(self, verb: str, family: Family = "job", more: JsonObject | None = None) -> "Job":
        """Any verb, which must succeed; a refused one is for `expect_refused()`."""
        self._send(*self._command(verb, family, more or {}))
        return self

    def expect_refused(self, verb: str, family: Family = "job", more: JsonObject | None = None) -> Exchange:
        """A verb that must be refused; the golden has the text."""
        exchange = self._session.execute(*self._command(verb, family, more or {}), recorded=True)
        if exchange.error_class is None:
            self._session.fail(f"{exchange.name} {self.id}", expected="an error", got="success")
        return exchange

    # Expectations

    def expect(self, **data: Expected) -> "Job":
        """Expects these values in the data of the job's final event, BLOCK_JOB_COMPLETED or BLOCK_JOB_CANCELLED.

        `error=None` expects no error. A `between(low, high)` reads `(asserted)` in the golden.
        """
        self._expect_data(self._lane.final(), data)
        return self

    def expect_completed(self) -> "Job":
        """Expects success: BLOCK_JOB_COMPLETED without error, offset == len."""
        final = self._lane.final()
        data = event_data(final)
        if event_name(final) != "BLOCK_JOB_COMPLETED" or "error" in data or data["offset"] != data["len"]:
            self._session.fail(self.id, expected="BLOCK_JOB_COMPLETED without error, offset == len", got=show(final))
        return self

    def expect_cancelled(self) -> "Job":
        """Expects BLOCK_JOB_CANCELLED."""
        final = self._lane.final()
        if event_name(final) != "BLOCK_JOB_CANCELLED":
            self._session.fail(self.id, expected="BLOCK_JOB_CANCELLED", got=show(final))
        return self

    def query(self) -> JsonObject:
        """Its element of query-block-jobs, unrecorded. Fails the case when it is not listed."""
        return self._listed("query-block-jobs", "device")

    def offset(self) -> int:
        """How many bytes query-block-jobs says are done, unrecorded."""
        return number(self.query()["offset"])

    def wait_offset(self, *, above: int = 0) -> int:
        """Asks until `offset()` is above that, and returns it; unrecorded."""
        recorder = self._session.recorder

        def look() -> int | None:
            offset = self.offset()
            return offset if offset > above else None

        return recorder.wait(look, waiting_for=f"the offset of {self.id} to be above {above}")

    def wait_asleep(self) -> int:
        """Asks until it has copied something and waits for its speed, and returns its offset; unrecorded."""
        recorder = self._session.recorder

        def look() -> int | None:
            values = self.query()
            return number(values["offset"]) or None if not values["busy"] else None

        return recorder.wait(look, waiting_for=f"{self.id} to sleep")

    def query_job(self) -> JsonObject:
        """Its element of query-jobs, unrecorded. Fails the case when it is not listed."""
        return self._listed("query-jobs", "id")

    def is_listed(self) -> bool:
        """Whether query-jobs still lists it."""
        return any(job["id"] == self.id for job in objects(self._session.ask("query-jobs")))

    def record(self, *keys: str) -> JsonObject:
        """Puts these keys of query-block-jobs into the golden and returns the element; all keys when none is named."""
        values = self.query()
        self._record(chosen(values, keys or sorted(values)), ())
        return values

    def expect_query(self, **expected: Expected) -> JsonObject:
        """Expects these values of query-block-jobs now, and puts them into the golden."""
        values = self.query()
        if wrong := wrong_keys(expected, values):
            self._session.fail(
                f"query-block-jobs {self.id}",
                expected=render_expected(expected, values, wrong),
                got=render_got(values, wrong),
            )
        self._record(chosen(values, expected), asserted_keys(expected, values))
        return values

    def last_status(self) -> str | None:
        """The state that the last event told; None before the first."""
        return self._lane.last_status()

    @property
    def moves_on(self) -> bool:
        """Whether it may send events by itself: neither ended, nor resting, nor slowed down by a speed limit."""
        return self.last_status() not in (None, *STABLE_STATES) and self.speed == 0

    # How it is done

    def _command(self, verb: str, family: Family, more: JsonObject) -> tuple[str, JsonObject]:
        key = "id" if family == "job" or verb in ("finalize", "dismiss") else "device"
        return f"{family}-{verb}", {key: self.id, **more}

    def _send(self, name: str, arguments: JsonObject) -> None:
        exchange = self._session.execute(name, arguments, recorded=True)
        self._session.expect_success(exchange)
        self._last = exchange
        self._since = exchange.sent_at

    def _resting_states(self) -> tuple[str, ...]:
        states = ["null"]
        if not self._auto_dismiss:
            states.append("concluded")
        if not self._auto_finalize:
            states.append("pending")
        return tuple(states)

    def _reach(self, states: tuple[str, ...], seconds: float | None = None) -> Moment:
        message = self._lane.wait_status(states, max(self._cursor, self._since), seconds)
        if status_of(message) == "pending" and not self._auto_finalize:
            message = self._lane.wait_event("BLOCK_JOB_PENDING", message.at, seconds)
        return self._claim(message)

    def _claim(self, message: RawMessage) -> Moment:
        self._lane.claim(message)
        self._cursor = max(self._cursor, message.at + 1)
        return Moment(at=message.at, what=f"{self.id} {status_of(message) or event_name(message)}")

    def _expect_data(self, message: RawMessage, expected: Mapping[str, Expected]) -> None:
        data = event_data(message)
        if wrong := wrong_keys(expected, data):
            self._session.fail(
                f"{event_name(message)} of {self.id}",
                expected=render_expected(expected, data, wrong),
                got=render_got(data, wrong),
            )
        self._session.recorder.mark_asserted(message.at, asserted_keys(expected, data))

    def _listed(self, command: str, key: str) -> JsonObject:
        jobs = objects(self._session.ask(command))
        for job in jobs:
            if job[key] == self.id:
                return job
        self._session.fail(command, expected=f"{self.id} in the list", got=str([job[key] for job in jobs]))

    def _record(self, values: JsonObject, asserted: tuple[str, ...]) -> None:
        recorder = self._session.recorder
        at = recorder.note(f"state of {self.id}")
        recorder.add(State(subject=self.id, values=values, at=at, asserted=asserted))


def _known(status: Status) -> Status:
    """That state. Raises UsageError when no job has it, rather than wait for it."""
    if status not in get_args(Status):
        raise UsageError(f"no job is ever {status!r}; its states are {', '.join(get_args(Status))}")
    return status
