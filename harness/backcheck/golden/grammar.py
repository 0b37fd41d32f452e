"""The grammar of a golden's lines: entries of a transcript as text, and the one parser that reads every line back.

    -> blockdev-backup job-id=job0 device=disk0         a command to the monitor `qmp`; `mon1 -> …` to another
    -> transaction properties.completion-mode=grouped   a transaction goes on below, an action a line
         drive-backup job-id=job0 device=disk0 sync=full
         abort
    <- {}                                               its reply: a value, or an error's class and description
    <- GenericError "Job ID 'j0' already in use"
    stdout "Formatting 't.qcow2', fmt=qcow2"            a line that the program printed
    job0: created running                               a job's states, as many as follow each other
    job0: BLOCK_JOB_COMPLETED type=backup len=131072    any other event of a job; `(id)` follows the name when the
                                                        event calls the job `id`, not `device`
    event SHUTDOWN guest=false                          an event of no job
    guest disk0: write 0x5a offset=0 length=65536 -> ok
    bitmap disk0-node/b0: count=131072 busy=false       queried state

Headings, headers and guards are the golden's business. An entry's `at` is not in the text and reads back as 0; a value
that the case asserts reads back as None.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias

from backcheck.errors import GoldenError
from backcheck.golden.values import ParsedValues, parse_scalar, parse_values, render_scalar, render_values
from backcheck.json_types import JsonObject, JsonValue
from backcheck.transcript import Command, Entry, Guest, JobEvent, JobStatus, OtherEvent, Output, Reply, State

DEFAULT_MONITOR = "qmp"
DEFAULT_ID_KEY = "device"
TRANSACTION = "transaction"
ACTION_INDENT = " " * 5
_ACTION_BREAK = f"\n{ACTION_INDENT}"

Lane: TypeAlias = tuple[int, str]
"""A lane's place among the lanes of a step, and its name."""

_LANE_RANKS: dict[type, int] = {
    Command: 0,
    Reply: 0,
    Output: 1,
    JobStatus: 2,
    JobEvent: 2,
    OtherEvent: 3,
    Guest: 4,
    State: 5,
}

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PLAIN_NAME = r'[^\s":\[][^\s":]*'
_PLAIN_SUBJECT = rf"{_PLAIN_NAME}(?: {_PLAIN_NAME})*"
_STATUSES = r"[a-z][a-z-]*(?: [a-z][a-z-]*)*"
# A subject or job that begins with one of these would read as another kind of line: it is quoted.
_RESERVED = ("guest ", "event ", "stdout ", "stderr ", "-> ", "<- ", "== ")

_MONITOR_LINE = re.compile(rf"(?:(?P<monitor>{_QUOTED}|{_PLAIN_NAME}) )?(?P<kind>->|<-|event) (?P<rest>.*)")
_OUTPUT_LINE = re.compile(rf"(?P<stream>stdout|stderr) (?P<text>{_QUOTED})")
_GUEST_LINE = re.compile(
    rf"guest (?P<device>{_QUOTED}|{_PLAIN_NAME}): (?P<text>{_QUOTED}|[^\"].*) -> (?P<result>{_QUOTED}|[^\"].*?)"
)
_JOB_LINE = re.compile(
    rf"(?P<job>{_QUOTED}|{_PLAIN_NAME}): (?:(?P<statuses>{_STATUSES})|(?P<event>[A-Z][A-Z0-9_]*(?: .*)?))"
)
_STATE_LINE = re.compile(rf"(?P<subject>{_QUOTED}|{_PLAIN_SUBJECT}): (?P<values>.*)")
_NAME_AND_REST = re.compile(rf"(?P<name>{_QUOTED}|\S+)(?: \((?P<id_key>[a-z-]+)\))?(?: (?P<rest>.*))?")
_ERROR = re.compile(rf"(?P<error_class>[A-Za-z][A-Za-z0-9]*) (?P<description>{_QUOTED})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a golden without its guard: entries of one lane (several only when they are a job's states)."""

    entries: tuple[Entry, ...]

    @property
    def lane(self) -> Lane:
        """The lane that its order counts in."""
        return lane_of(self.entries[0])

    @property
    def text(self) -> str:
        """The line as it stands in the file."""
        return render_line(self.entries)


def lane_of(entry: Entry) -> Lane:
    """The lane of an entry; sorted, lanes stand in a step's order: monitors, output, jobs, events, guests, states."""
    return _LANE_RANKS[type(entry)], entry.lane


def lines_of(entries: Iterable[Entry]) -> list[Line]:
    """The entries of a step as lines, lane by lane, each lane in its own order."""
    by_lane = sorted((replace(entry, at=0) for entry in entries), key=lane_of)
    lines: list[Line] = []
    for _, lane_entries in groupby(by_lane, key=lane_of):
        for statuses, run in groupby(lane_entries, key=lambda entry: isinstance(entry, JobStatus)):
            if statuses:
                lines.append(Line(entries=tuple(run)))
            else:
                lines.extend(Line(entries=(entry,)) for entry in run)
    return lines


def identity(entry: Entry) -> str:
    """A text that is the same exactly when two entries say the same; the order of keys does not matter."""
    if isinstance(entry, Command):
        return f"{_monitor_prefix(entry.monitor)}-> {entry.name!r} {render_values(entry.arguments)}"
    return render_line([entry])


def render_line(entries: Iterable[Entry]) -> str:
    """The text of one line; a transaction's goes on over several. Raises GoldenError for what a line cannot hold."""
    first, *others = entries
    if isinstance(first, JobStatus):
        statuses = [entry.status for entry in (first, *others) if isinstance(entry, JobStatus)]
        return f"{_job(first.job)}: {' '.join(statuses)}"
    text = _render(first)
    if "\n" in text.replace(_ACTION_BREAK, ""):
        raise GoldenError(f"a line of a golden cannot hold a line break: {text!r}")
    return text


def _render(entry: Entry) -> str:
    match entry:
        case Command():
            return f"{_monitor_prefix(entry.monitor)}-> {_render_command(entry)}"
        case Reply():
            return f"{_monitor_prefix(entry.monitor)}<- {_render_reply(entry)}"
        case Output():
            return f"{entry.stream} {json.dumps(entry.text)}"
        case JobEvent():
            id_key = "" if entry.id_key == DEFAULT_ID_KEY else f" ({entry.id_key})"
            data = f" {render_values(entry.data, entry.asserted)}" if entry.data else ""
            return f"{_job(entry.job)}: {entry.name}{id_key}{data}"
        case OtherEvent():
            data = f" {render_values(entry.data)}" if entry.data else ""
            return f"{_monitor_prefix(entry.monitor)}event {entry.name}{data}"
        case Guest():
            text, result = _guest_part(entry.text), _guest_part(entry.result)
            return f"guest {_quoted_unless(_PLAIN_NAME, entry.device)}: {text} -> {result}"
        case State():
            return f"{_subject(entry.subject)}: {render_values(entry.values, entry.asserted)}"
        case JobStatus():
            return f"{_job(entry.job)}: {entry.status}"


def _render_command(command: Command) -> str:
    head, actions = command.arguments, _actions(command)
    if actions:
        head = {key: value for key, value in head.items() if key != "actions"}
    return _ACTION_BREAK.join(_named(name, values) for name, values in [(command.name, head), *actions])


def _named(name: str, values: JsonObject) -> str:
    """A command or an action, and its arguments in the order in which they were sent."""
    arguments = f" {render_values(values, sort=False)}" if values else ""
    return f"{_quoted_unless(_PLAIN_NAME, name)}{arguments}"


def _actions(command: Command) -> list[tuple[str, JsonObject]]:
    """Type and data of a transaction's actions; empty when they are not of the shape that a golden has lines for."""
    listed = command.arguments.get("actions")
    if command.name != TRANSACTION or not isinstance(listed, list | tuple):
        return []
    actions = []
    for action in listed:
        if not isinstance(action, Mapping) or action.keys() != {"type", "data"}:
            return []
        name, data = action["type"], action["data"]
        if not isinstance(name, str) or not isinstance(data, Mapping):
            return []
        actions.append((name, data))
    return actions


def _render_reply(reply: Reply) -> str:
    if reply.error_class is not None:
        return f"{reply.error_class} {json.dumps(reply.description or '')}"
    if isinstance(reply.value, Mapping):
        return render_values(reply.value, reply.asserted)
    if isinstance(reply.value, list | tuple):
        return render_values(reply.value)
    return render_scalar(reply.value, quote=True)


def _monitor_prefix(monitor: str) -> str:
    return "" if monitor == DEFAULT_MONITOR else f"{_quoted_unless(_PLAIN_NAME, monitor)} "


def _job(text: str) -> str:
    return _quoted_unless(_PLAIN_NAME, text)


def _subject(text: str) -> str:
    return json.dumps(text) if f"{text} ".startswith(_RESERVED) else _quoted_unless(_PLAIN_SUBJECT, text)


def _guest_part(text: str) -> str:
    plain = text and not text.startswith('"') and " -> " not in f" {text} " and "\n" not in text
    return text if plain else json.dumps(text)


def _quoted_unless(pattern: str, text: str) -> str:
    return text if re.fullmatch(pattern, text) else json.dumps(text)


def parse_line(text: str, where: str | None = None) -> Line:
    """Reads one line without its guard, a transaction's with its actions. Raises GoldenError when it is none."""
    text, *actions = text.split(_ACTION_BREAK)
    line = _parse_head(text, where)
    return Line(entries=(_with_actions(line.entries[0], actions, where),)) if actions else line


def _parse_head(text: str, where: str | None) -> Line:
    parsers = (
        (_OUTPUT_LINE, _parse_output),
        (_GUEST_LINE, _parse_guest),
        (_MONITOR_LINE, _parse_monitor_line),
        (_JOB_LINE, _parse_job_line),
        (_STATE_LINE, _parse_state),
    )
    for pattern, parse in parsers:
        if match := pattern.fullmatch(text):
            return Line(entries=parse(match, where))
    raise GoldenError(f"'{text}' is no line of a golden", where)


def _parse_output(match: re.Match[str], where: str | None) -> tuple[Entry, ...]:
    return (Output(stream=match["stream"], text=_unquoted(match["text"], where), at=0),)


def _parse_guest(match: re.Match[str], where: str | None) -> tuple[Entry, ...]:
    device, text, result = (_unquoted(match[name], where) for name in ("device", "text", "result"))
    return (Guest(device=device, text=text, result=result, at=0),)


def _parse_monitor_line(match: re.Match[str], where: str | None) -> tuple[Entry, ...]:
    monitor = _unquoted(match["monitor"], where) if match["monitor"] else DEFAULT_MONITOR
    rest = match["rest"]
    if match["kind"] == "<-":
        return (_parse_reply(monitor, rest, where),)
    name, values = _parse_named(rest, where)
    if match["kind"] == "->":
        return (Command(monitor=monitor, name=name, arguments=values, at=0),)
    return (OtherEvent(monitor=monitor, name=name, data=values, at=0),)


def _parse_named(text: str, where: str | None) -> tuple[str, JsonObject]:
    """The name of a command, an event or an action, and its values."""
    parts = _NAME_AND_REST.fullmatch(text)
    if parts is None:
        raise GoldenError(f"a name is missing in '{text}'", where)
    values = _parse_object(parts["rest"], where).value if parts["rest"] else {}
    assert isinstance(values, Mapping)
    return _unquoted(parts["name"], where), values


def _with_actions(entry: Entry, texts: Sequence[str], where: str | None) -> Entry:
    if not isinstance(entry, Command) or entry.name != TRANSACTION or "actions" in entry.arguments:
        raise GoldenError(f"only the line '-> {TRANSACTION}' goes on below: '{texts[0]}' follows another", where)
    named = [_parse_named(text, where) for text in texts]
    actions: list[JsonValue] = [{"type": name, "data": data} for name, data in named]
    return replace(entry, arguments={"actions": actions, **entry.arguments})


def _parse_reply(monitor: str, text: str, where: str | None) -> Reply:
    if error := _ERROR.fullmatch(text):
        description = _unquoted(error["description"], where)
        return Reply(monitor=monitor, error_class=error["error_class"], description=description, at=0)
    parsed = parse_values(text, where)
    return Reply(monitor=monitor, value=parsed.value, asserted=parsed.asserted, at=0)


def _parse_job_line(match: re.Match[str], where: str | None) -> tuple[Entry, ...]:
    job = _unquoted(match["job"], where)
    if match["statuses"]:
        return tuple(JobStatus(job=job, status=status, at=0) for status in match["statuses"].split(" "))
    parts = _NAME_AND_REST.fullmatch(match["event"])
    assert parts is not None, "an event's name begins it"
    parsed = _parse_object(parts["rest"], where) if parts["rest"] else ParsedValues(value={})
    assert isinstance(parsed.value, Mapping)
    id_key = parts["id_key"] or DEFAULT_ID_KEY
    return (JobEvent(job=job, name=parts["name"], data=parsed.value, asserted=parsed.asserted, id_key=id_key, at=0),)


def _parse_state(match: re.Match[str], where: str | None) -> tuple[Entry, ...]:
    parsed = _parse_object(match["values"], where)
    values: JsonObject = parsed.value if isinstance(parsed.value, Mapping) else {}
    return (State(subject=_unquoted(match["subject"], where), values=values, asserted=parsed.asserted, at=0),)


def _parse_object(text: str, where: str | None) -> ParsedValues:
    parsed = parse_values(text, where)
    if not isinstance(parsed.value, Mapping):
        raise GoldenError(f"'{text}' is not a list of key=value", where)
    return parsed


def _unquoted(text: str, where: str | None) -> str:
    return str(parse_scalar(text, where)) if text.startswith('"') else text
