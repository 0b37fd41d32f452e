"""Normalisers: what a golden does not show of an answer, because it differs from run to run and no rule is about it.

Each is named, typed and applied in the order of NORMALISERS. They work on the structure, never on rendered text, and
never touch an error's class or words, offsets, lengths, states or counts. A value of the wrong type where one of them
looks is an answer that is wrong: ExpectationFailed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from backcheck.errors import ExpectationFailed
from backcheck.json_types import JsonObject, JsonValue
from backcheck.recording.pairs import paused_running_pairs
from backcheck.transcript import (
    Command,
    Entry,
    Guest,
    JobEvent,
    JobStatus,
    OtherEvent,
    Output,
    Reply,
    State,
    Step,
    Transcript,
)

GENERATED_NODE = "#block"

_GENERATED_NODE = re.compile(r"#block[0-9]+")
_TIMESTAMP_KEYS = frozenset({"seconds", "microseconds"})

TextChange: TypeAlias = "Callable[[str], str]"
Normalise: TypeAlias = "Callable[[Transcript], Transcript]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    """One of them. `drops` says in a few words what it takes away."""

    name: str
    drops: str
    apply: Normalise


def normalise(transcript: Transcript) -> Transcript:
    """A copy of the transcript as a golden shows it, with all normalisers applied."""
    for normaliser in NORMALISERS:
        transcript = normaliser.apply(transcript)
    return transcript


def _drop_timestamps(transcript: Transcript) -> Transcript:
    """Takes `timestamp` objects out of replies and events; they hold whole seconds and microseconds."""
    return _with_objects(transcript, _without_timestamp)


def _name_paths(transcript: Transcript) -> Transcript:
    """Shows the run's own folder and sockets by the names that the transcript gives them, longest text first."""
    names = transcript.paths
    if not names:
        return transcript
    pattern = re.compile("|".join(re.escape(text) for text in sorted(names, key=len, reverse=True)))
    return _with_text(transcript, lambda text: pattern.sub(lambda match: names[match[0]], text))


def _name_generated_nodes(transcript: Transcript) -> Transcript:
    """Shows a node-name that QEMU made, `#block123`, without its number."""
    return _with_text(transcript, lambda text: _GENERATED_NODE.sub(GENERATED_NODE, text))


def _drop_pairs(transcript: Transcript) -> Transcript:
    """Takes `paused running` out where only a drained section can be its cause; off when the case is about them."""
    if transcript.keep_pairs:
        return transcript
    dropped = paused_running_pairs(transcript.entries())
    return _with_steps(
        transcript, lambda entry: None if isinstance(entry, JobStatus) and entry.at in dropped else entry
    )


def _blank_asserted(transcript: Transcript) -> Transcript:
    """Takes the values out that the case asserts inline; a key that did not come stays away, so that it is noticed."""

    def blank(entry: Entry) -> Entry:
        match entry:
            case Reply(asserted=asserted) if asserted:
                if not isinstance(entry.value, Mapping):
                    raise ExpectationFailed("reply", expected="an object", got=repr(entry.value or entry.description))
                return replace(entry, value=_blanked(entry.value, asserted), asserted=_present(entry.value, asserted))
            case JobEvent():
                return replace(
                    entry, data=_blanked(entry.data, entry.asserted), asserted=_present(entry.data, entry.asserted)
                )
            case State():
                return replace(
                    entry,
                    values=_blanked(entry.values, entry.asserted),
                    asserted=_present(entry.values, entry.asserted),
                )
        return entry

    return _with_steps(transcript, blank)


NORMALISERS = (
    Normaliser(name="timestamps", drops="when an event came", apply=_drop_timestamps),
    Normaliser(name="paths", drops="the folder and the sockets of this run", apply=_name_paths),
    Normaliser(name="generated-nodes", drops="the number in #block123", apply=_name_generated_nodes),
    Normaliser(name="pairs", drops="paused running around a drained section", apply=_drop_pairs),
    Normaliser(name="asserted", drops="values that the case asserts inline", apply=_blank_asserted),
)


def _blanked(values: JsonObject, asserted: Sequence[str]) -> JsonObject:
    return {key: None if key in asserted else value for key, value in values.items()}


def _present(values: JsonObject, asserted: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(key for key in asserted if key in values))


def _without_timestamp(values: JsonObject) -> JsonObject:
    if "timestamp" not in values:
        return values
    stamp = values["timestamp"]
    well_formed = (
        isinstance(stamp, Mapping)
        and stamp.keys() == _TIMESTAMP_KEYS
        and all(isinstance(part, int) and not isinstance(part, bool) for part in stamp.values())
    )
    if not well_formed:
        raise ExpectationFailed("timestamp", expected="whole seconds and microseconds", got=repr(stamp))
    return {key: value for key, value in values.items() if key != "timestamp"}


def _with_steps(transcript: Transcript, change: Callable[[Entry], Entry | None]) -> Transcript:
    steps = [
        Step(title=step.title, entries=[new for entry in step.entries if (new := change(entry)) is not None])
        for step in transcript.steps
    ]
    return replace(transcript, steps=steps)


def _with_objects(transcript: Transcript, change: Callable[[JsonObject], JsonObject]) -> Transcript:
    """Applies a change to every object, innermost first, in what implementations answered."""

    def walk(value: JsonValue) -> JsonValue:
        if isinstance(value, Mapping):
            return change({key: walk(item) for key, item in value.items()})
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [walk(item) for item in value]
        return value

    return _with_steps(transcript, lambda entry: _with_answer(entry, walk))


def _with_answer(entry: Entry, walk: Callable[[JsonValue], JsonValue]) -> Entry:
    match entry:
        case Reply():
            return replace(entry, value=walk(entry.value))
        case JobEvent() | OtherEvent():
            return replace(entry, data=_walked(entry.data, walk))
        case State():
            return replace(entry, values=_walked(entry.values, walk))
    return entry


def _walked(values: JsonObject, walk: Callable[[JsonValue], JsonValue]) -> JsonObject:
    walked = walk(values)
    assert isinstance(walked, Mapping), "an object stays an object"
    return walked


def _with_text(transcript: Transcript, change: TextChange) -> Transcript:
    """Applies a change to every string that a golden shows, keys apart."""

    def walk(value: JsonValue) -> JsonValue:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, Mapping):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [walk(item) for item in value]
        return value

    def with_text(entry: Entry) -> Entry:
        match entry:
            case Command():
                return replace(entry, arguments=_walked(entry.arguments, walk))
            case Reply(description=str() as description):
                return replace(entry, description=change(description))
            case Output():
                return replace(entry, text=change(entry.text))
            case Guest():
                return replace(entry, text=change(entry.text), result=change(entry.result))
            case State():
                return replace(entry, subject=change(entry.subject), values=_walked(entry.values, walk))
        return _with_answer(entry, walk)

    return _with_steps(transcript, with_text)
