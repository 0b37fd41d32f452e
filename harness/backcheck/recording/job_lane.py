"""One job's states and events among all recorded messages: finding them, waiting for them, claiming them for a step."""

from collections.abc import Callable, Iterator, Mapping
from typing import cast

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject
from backcheck.recording.events import JOB_ID_KEYS, JOB_STATUS_CHANGE
from backcheck.story.expectations import render_got
from backcheck.story.session import Session
from backcheck.transcript import RawMessage

FINAL_EVENTS = ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")
ENDED = "null"


class JobLane:
    """What a job has told since it was started at position `first`."""

    def __init__(self, session: Session, job_id: str, first: int) -> None:
        self.job_id = job_id
        self._session = session
        self._first = first

    def wait_status(self, states: tuple[str, ...], start: int, seconds: float | None = None) -> RawMessage:
        """Waits for the first change to one of these states at or after a position."""
        wanted = " or ".join(states)
        return self._wait(start, lambda message: status_of(message) in states, wanted, seconds)

    def wait_event(self, name: str, start: int, seconds: float | None = None) -> RawMessage:
        """Waits for the first event of that name at or after a position."""
        return self._wait(start, lambda message: event_name(message) == name, name, seconds)

    def claim(self, message: RawMessage) -> None:
        """Puts all that the job told up to that message into the current step, as far as no step has it."""
        self._session.recorder.claim(self.job_id, message.at)

    def last_status(self) -> str | None:
        """The state that the last event told; None before the first."""
        last = None
        for message in self._messages(self._first):
            last = status_of(message) or last
        return last

    def standing_at(self, position: int) -> int:
        """Where the state was told that the job had at a position; that position when none was told before."""
        changes = (message.at for message in self._messages(self._first) if status_of(message))
        return max((at for at in changes if at < position), default=position)

    def final(self) -> RawMessage:
        """The event that told its result. Raises UsageError before it came."""
        for message in self._messages(self._first):
            if event_name(message) in FINAL_EVENTS:
                return message
        raise UsageError(f"{self.job_id} has not ended: wait() for it before you expect its result")

    def _wait(
        self, start: int, matches: Callable[[RawMessage], bool], wanted: str, seconds: float | None
    ) -> RawMessage:
        def look() -> RawMessage | None:
            status = self.last_status()
            found = next((message for message in self._messages(start) if matches(message)), None)
            if found is None and status == ENDED:
                self._session.fail(self.job_id, expected=f"{wanted} from here on", got="it has ended")
            return found

        status = self.last_status()
        awaited = f"{wanted} of {self.job_id}" if status is None else f"{wanted} of {self.job_id} (it is {status})"
        return self._session.recorder.wait(look, waiting_for=awaited, seconds=seconds)

    def _messages(self, start: int) -> Iterator[RawMessage]:
        """Its events at or after a position."""
        return (message for message in self._session.recorder.raw[start:] if _job_of(message) == self.job_id)


def event_name(message: RawMessage) -> str:
    """The name of the event that a message is."""
    return str(cast(JsonObject, message.message)["event"])


def event_data(message: RawMessage) -> JsonObject:
    """The data of the event that a message is."""
    return cast(JsonObject, cast(JsonObject, message.message).get("data", {}))


def status_of(message: RawMessage) -> str | None:
    """The state that an event tells, or None for an event that tells none."""
    return str(event_data(message)["status"]) if event_name(message) == JOB_STATUS_CHANGE else None


def show(message: RawMessage) -> str:
    """An event as one line for a person."""
    data = event_data(message)
    return f"{event_name(message)} {render_got(data, list(data))}"


def _job_of(message: RawMessage) -> object:
    """The job that a message is about, or None."""
    event = message.message
    if not isinstance(event, Mapping) or "event" not in event:
        return None
    data = event.get("data")
    key = "id" if event["event"] == JOB_STATUS_CHANGE else JOB_ID_KEYS.get(str(event["event"]))
    return data.get(key) if key is not None and isinstance(data, Mapping) else None
