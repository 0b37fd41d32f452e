"""Golden files: what every implementation must answer to a case, and the comparison of an answer with it.

    case 112 failed-incremental-keeps-bitmap        the case's number and slug
    confirmed engine, qemu-7.2, qemu-10.0           who gave this answer, releases without patch level
    not [qemu<6.0]: copy offload retries (SYNC-13)  where the case does not run, and why
    unconfirmed: needs a driver no build has        why no QEMU confirmed it

    == the target refuses its first write           a step; what comes before the first one has no heading
    -> query-jobs
    [qemu<6.0] <- GenericError "…"                  a line that only some answer

Order counts inside a lane of a step, not across lanes. What the lines are is the grammar's business, how goldens come
to be the review's.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from backcheck.errors import GoldenError
from backcheck.golden.grammar import ACTION_INDENT, Lane, Line, identity, lane_of, lines_of, parse_line
from backcheck.golden.guards import ALWAYS, Context, Guard, parse_guard
from backcheck.normalise import normalise
from backcheck.transcript import Entry, Transcript

CONFIRMING = re.compile(r"engine|qemu-(?P<release>\d+\.\d+)")
"""Whose name may stand behind `confirmed`."""

_CASE = re.compile(r"case (?P<number>\d{3,}) (?P<slug>[a-z0-9-]+)")
_CONFIRMED = re.compile(r"confirmed(?: (?P<names>\S+(?:, \S+)*))?")
_NOT = re.compile(r"not \[(?P<guard>[^]]*)\]: (?P<reason>.+)")
_UNCONFIRMED = re.compile(r"unconfirmed: (?P<reason>.+)")
_HEADING = re.compile(r"(?:\[(?P<guard>[^]]*)\] )?== (?P<title>.+)")
_GUARDED = re.compile(r"(?:\[(?P<guard>[^]]*)\] )?(?P<line>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedLine:
    """A line and where it is answered."""

    guard: Guard = ALWAYS
    line: Line

    @property
    def text(self) -> str:
        """The line as it stands in the file."""
        return f"{self.guard} {self.line.text}".lstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenStep:
    """A step: None is the title of what comes before the first heading."""

    title: str | None
    lines: tuple[GuardedLine, ...]
    guard: Guard = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands above a golden's steps. `not_on` are pairs of a guard's text, without brackets, and a reason."""

    number: str
    slug: str
    confirmed: tuple[str, ...] = ()
    not_on: tuple[tuple[str, str], ...] = ()
    unconfirmed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A golden file."""

    header: Header
    steps: tuple[GoldenStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStep:
    """What one implementation answered in one step."""

    title: str | None
    entries: tuple[Entry, ...]

    def lanes(self) -> dict[Lane, list[str]]:
        """What each lane says, in its order."""
        lanes: dict[Lane, list[str]] = {}
        for entry in self.entries:
            lanes.setdefault(lane_of(entry), []).append(identity(entry))
        return lanes


Answer: TypeAlias = tuple[AnswerStep, ...]
"""A whole conversation, normalised, in steps that are not empty, except that a titled step may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How an answer differs from the expected one: a diff, `-` the golden, `+` the answer; steps alike are left out."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def read_golden(path: Path) -> Golden | None:
    """The golden in a file, or None when there is no file. Raises GoldenError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise GoldenError(f"cannot be read: {error}", str(path)) from error
    return parse_golden(text, f"{path.parent.name}/{path.name}")


def parse_golden(text: str, where: str) -> Golden:
    """Reads a golden file. `where` names it in complaints. Raises GoldenError naming the line."""
    lines = text.split("\n")
    end = lines.index("") if "" in lines else len(lines)
    return Golden(header=_parse_header(lines[:end], where), steps=parse_steps(lines[end:], where, first=end + 1))


def parse_steps(lines: Sequence[str], where: str, *, first: int = 1) -> tuple[GoldenStep, ...]:
    """Reads steps and their lines; `first` is the number of the first line in the file."""
    steps = [(None, ALWAYS, list[GuardedLine]())]  # type: list[tuple[str | None, Guard, list[GuardedLine]]]
    for number, text in _whole_lines(lines, first):
        place = f"{where}:{number}"
        if text == "":
            continue
        if heading := _HEADING.fullmatch(text):
            steps.append((heading["title"], _guard(heading["guard"], place), []))
        elif guarded := _GUARDED.fullmatch(text):
            line = GuardedLine(guard=_guard(guarded["guard"], place), line=parse_line(guarded["line"], place))
            steps[-1][2].append(line)
    return tuple(
        GoldenStep(title=title, guard=guard, lines=tuple(found))
        for title, guard, found in steps
        if title is not None or found
    )


def _whole_lines(lines: Sequence[str], first: int) -> Iterator[tuple[int, str]]:
    """Each line with its number; those that go on below, as one."""
    above = ["", *lines]
    starts = [index for index, text in enumerate(lines) if not (above[index] and text.startswith(ACTION_INDENT))]
    for start, end in pairwise([*starts, len(lines)]):
        yield first + start, "\n".join(lines[start:end])


def render_golden(golden: Golden) -> str:
    """The text of a golden file."""
    header = golden.header
    lines = [f"case {header.number} {header.slug}", f"confirmed {', '.join(header.confirmed)}".rstrip()]
    lines += [f"not [{guard}]: {reason}" for guard, reason in header.not_on]
    if header.unconfirmed:
        lines.append(f"unconfirmed: {header.unconfirmed}")
    return "\n".join([*lines, "", render_steps(golden.steps)])


def render_steps(steps: Iterable[GoldenStep]) -> str:
    """The text of steps, a blank line between them."""
    blocks = []
    for step in steps:
        heading = [] if step.title is None else [f"{step.guard} == {step.title}".lstrip()]
        blocks.append("\n".join([*heading, *(line.text for line in step.lines)]))
    return "\n\n".join(blocks) + "\n"


def answer_of(transcript: Transcript) -> Answer:
    """What a transcript says, normalised."""
    return tuple(
        AnswerStep(title=step.title, entries=_in_lanes(step.entries))
        for step in normalise(transcript).steps
        if step.entries or step.title not in (None, "end")
    )


def steps_of(answer: Answer) -> tuple[GoldenStep, ...]:
    """An answer as steps without guards, to be rendered."""
    return tuple(
        GoldenStep(title=step.title, lines=tuple(GuardedLine(line=line) for line in lines_of(step.entries)))
        for step in answer
    )


def expected_answer(steps: Iterable[GoldenStep], context: Context) -> Answer:
    """What an implementation and format must answer: the lines whose guards hold there."""
    return tuple(
        AnswerStep(
            title=step.title,
            entries=_in_lanes(entry for line in step.lines if line.guard.holds(context) for entry in line.line.entries),
        )
        for step in steps
        if step.guard.holds(context)
    )


def compare(transcript: Transcript, golden_text: str, context: Context, where: str = "golden") -> Difference | None:
    """How a transcript differs from a golden in this context, or None."""
    return compare_answers(expected_answer(parse_golden(golden_text, where).steps, context), answer_of(transcript))


def compare_answers(expected: Answer, got: Answer) -> Difference | None:
    """How an answer differs from the expected one, or None."""
    expected = tuple(step for step in expected if step.entries or step.title is not None)
    if _said(expected) == _said(got):
        return None
    matcher = SequenceMatcher(None, [step.title for step in expected], [step.title for step in got], autojunk=False)
    lines: list[str] = []
    for tag, first, last, got_first, got_last in matcher.get_opcodes():
        if tag == "equal":
            for ours, theirs in zip(expected[first:last], got[got_first:got_last], strict=True):
                lines += _step_difference(ours, theirs)
        else:
            lines += [f"- {line}" for step in expected[first:last] for line in _step_text(step)]
            lines += [f"+ {line}" for step in got[got_first:got_last] for line in _step_text(step)]
    return Difference(lines=tuple(lines))


def _said(answer: Answer) -> list[tuple[str | None, dict[Lane, list[str]]]]:
    return [(step.title, step.lanes()) for step in answer]


def _step_difference(expected: AnswerStep, got: AnswerStep) -> list[str]:
    """The diff of one step, without what is alike when it is long; nothing when the step is alike."""
    if expected.lanes() == got.lanes():
        return []
    ours, theirs = _step_text(expected)[1:], _step_text(got)[1:]
    lines = [f"  == {expected.title}" if expected.title is not None else "  (before the first step)"]
    for group in SequenceMatcher(None, ours, theirs, autojunk=False).get_grouped_opcodes(n=6):
        for tag, first, last, got_first, got_last in group:
            if tag == "equal":
                lines += [f"  {line}" for line in ours[first:last]]
            else:
                lines += [f"- {line}" for line in ours[first:last]]
                lines += [f"+ {line}" for line in theirs[got_first:got_last]]
    return lines


def _step_text(step: AnswerStep) -> list[str]:
    return [f"== {step.title}", *(text for line in lines_of(step.entries) for text in line.text.split("\n"))]


def _in_lanes(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(entry for line in lines_of(entries) for entry in line.entries)


def _guard(text: str | None, where: str) -> Guard:
    return ALWAYS if text is None else parse_guard(text, where=where)


def _parse_header(lines: Sequence[str], where: str) -> Header:
    first = _CASE.fullmatch(lines[0]) if lines else None
    if first is None:
        raise GoldenError("a golden begins with 'case NNN its-slug'", f"{where}:1")
    confirmed: tuple[str, ...] | None = None
    not_on: list[tuple[str, str]] = []
    unconfirmed = None
    for number, text in enumerate(lines[1:], 2):
        place = f"{where}:{number}"
        if match := _CONFIRMED.fullmatch(text):
            confirmed = tuple(match["names"].split(", ")) if match["names"] else ()
            for name in confirmed:
                if not CONFIRMING.fullmatch(name):
                    raise GoldenError(f"'{name}' confirms nothing: 'engine' can, and a release as 'qemu-7.2'", place)
        elif match := _NOT.fullmatch(text):
            parse_guard(match["guard"], where=place, engine_allowed=True)
            not_on.append((match["guard"], match["reason"]))
        elif match := _UNCONFIRMED.fullmatch(text):
            unconfirmed = match["reason"]
        else:
            raise GoldenError(f"'{text}' is not 'confirmed …', 'not [guard]: reason' or 'unconfirmed: reason'", place)
    if confirmed is None:
        raise GoldenError("the head of a golden says who gave the answer: 'confirmed engine, qemu-7.2'", f"{where}:2")
    return Header(
        number=first["number"],
        slug=first["slug"],
        confirmed=confirmed,
        not_on=tuple(not_on),
        unconfirmed=unconfirmed,
    )
