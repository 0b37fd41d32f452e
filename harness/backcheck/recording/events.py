"""From raw messages to entries: which lane an event belongs to, and how a raw message reads."""

import json
from collections.abc import Mapping

from backcheck.json_types import JsonObject
from backcheck.transcript import Entry, JobEvent, JobStatus, OtherEvent, RawMessage

JOB_STATUS_CHANGE = "JOB_STATUS_CHANGE"
JOB_ID_KEYS = {
    "BLOCK_JOB_COMPLETED": "device",
    "BLOCK_JOB_CANCELLED": "device",
    "BLOCK_JOB_ERROR": "device",
    "BLOCK_JOB_READY": "device",
    "BLOCK_JOB_PENDING": "id",
}
"""Events of a job -> the key of their data that names it."""

LONGEST_LINE = 600


def entry_of_event(monitor: str, event: JsonObject, at: int) -> Entry:
    """The entry for an event. One that does not name its job is no job's, for the golden to differ from."""
    name = str(event["event"])
    data = event.get("data", {})
    if not isinstance(data, Mapping):
        return OtherEvent(monitor=monitor, name=name, data={"data": data}, at=at)
    if name == JOB_STATUS_CHANGE and {"id", "status"} <= data.keys():
        return JobStatus(job=str(data["id"]), status=str(data["status"]), at=at)
    id_key = JOB_ID_KEYS.get(name)
    if id_key is not None and id_key in data:
        rest = {key: value for key, value in data.items() if key != id_key}
        return JobEvent(job=str(data[id_key]), name=name, data=rest, id_key=id_key, at=at)
    return OtherEvent(monitor=monitor, name=name, data=data, at=at)


def event_lane(monitor: str, event: JsonObject) -> str:
    """The lane an event belongs to."""
    return entry_of_event(monitor, event, 0).lane


def render_raw(message: RawMessage) -> str:
    """A raw message as one line for a person."""
    text = message.message if isinstance(message.message, str) else json.dumps(message.message)
    if len(text) > LONGEST_LINE:
        text = f"{text[:LONGEST_LINE]}… ({len(text)} characters)"
    return f"{message.direction.value} {text.rstrip()}"
