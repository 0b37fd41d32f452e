"""Several answers to one case become one guarded golden, with the fewest lines and the simplest guards.

Lines that all answers share stand once; where they differ, each form stands with a guard that says who gives it. The
same arithmetic tells whether the guards of a golden are still needed.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Generic, TypeVar

from backcheck.golden.golden_file import Answer, AnswerStep, GoldenStep, GuardedLine, expected_answer
from backcheck.golden.grammar import Lane, Line, lines_of
from backcheck.golden.guards import ALWAYS, Context, Guard, covering_guards, release_number

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class _Shared(Generic[T]):
    """An item of several sequences, and whose it is."""

    item: T
    contexts: set[Context]


def merge(answers: Mapping[Context, Answer], old: Sequence[GoldenStep] = ()) -> tuple[GoldenStep, ...]:
    """The golden that expects from each context exactly its answer.

    old: the steps of an earlier golden; a guard there that says the same as a computed one is kept as it is written.
    Raises GoldenError when two implementations of one release and format answered differently.
    """
    preferred = _old_guards(old)
    answers = {context: _with_a_beginning(answer) for context, answer in answers.items()}
    tested = frozenset(answers)
    steps = []
    for step in _interleave({context: _numbered(answer) for context, answer in answers.items()}, lambda pair: pair):
        title = step.item[0]
        here = frozenset(step.contexts)
        texts = {context: _step_of(answers[context], step.item) for context in here}
        lines = tuple(_merged_lines(texts, preferred))
        steps += [
            GoldenStep(title=title, guard=guard, lines=_only_where(lines, guard, here))
            for guard in covering_guards(here, tested, preferred.get(f"== {title}", ()))
        ]
    return tuple(step for step in steps if step.lines or step.title is not None)


def _with_a_beginning(answer: Answer) -> Answer:
    """The answer with what comes before the first step, if only nothing: that has no heading to put a guard on."""
    if any(step.title is None for step in answer):
        return answer
    return (AnswerStep(title=None, entries=()), *answer)


def guard_complaints(steps: Sequence[GoldenStep], tested: Iterable[Context]) -> list[str]:
    """What is wrong with a golden's guards, seen in all contexts in which the case ran."""
    contexts = frozenset(tested)
    complaints = []
    for step in steps:
        here = frozenset(filter(step.guard.holds, contexts))
        guarded = [
            (step.guard, contexts, f"== {step.title}"),
            *((line.guard, here, line.line.text) for line in step.lines),
        ]
        for guard, among, text in guarded:
            if guard == ALWAYS or not among:
                continue
            where = frozenset(filter(guard.holds, among))
            if not where:
                complaints.append(f"the guard fits nothing that ran: {guard} {text}")
            elif where == among:
                complaints.append(f"the guard is no longer needed: {guard} {text}")
    if not complaints:
        simplest = merge({context: expected_answer(steps, context) for context in contexts}, steps)
        if (fewer := _line_count(simplest)) < (now := _line_count(steps)):
            complaints.append(f"the guards can be simpler: {fewer} lines say what {now} do; see backcheck review")
    return complaints


def _line_count(steps: Iterable[GoldenStep]) -> int:
    return sum(1 + len(step.lines) for step in steps)


def _numbered(answer: Answer) -> list[tuple[str | None, int]]:
    """The titles of an answer's steps; the second of the same title has the number 1, and so on."""
    seen: dict[str | None, int] = {}
    titles = []
    for step in answer:
        titles.append((step.title, seen.get(step.title, 0)))
        seen[step.title] = seen.get(step.title, 0) + 1
    return titles


def _step_of(answer: Answer, numbered_title: tuple[str | None, int]) -> AnswerStep:
    return answer[_numbered(answer).index(numbered_title)]


def _merged_lines(steps: Mapping[Context, AnswerStep], preferred: Mapping[str, list[Guard]]) -> Iterator[GuardedLine]:
    by_context = {context: _by_lane(step) for context, step in steps.items()}
    for lane in sorted({lane for lanes in by_context.values() for lane in lanes}):
        sequences = {context: lanes.get(lane, []) for context, lanes in by_context.items()}
        for shared in _in_order_of_release(_interleave(sequences, lambda line: line.text)):
            guards = covering_guards(shared.contexts, steps, preferred.get(shared.item.text, ()))
            yield from (GuardedLine(guard=guard, line=shared.item) for guard in guards)


def _by_lane(step: AnswerStep) -> dict[Lane, list[Line]]:
    lanes: dict[Lane, list[Line]] = {}
    for line in lines_of(step.entries):
        lanes.setdefault(line.lane, []).append(line)
    return lanes


def _interleave(sequences: Mapping[Context, Sequence[T]], key: Callable[[T], Hashable]) -> list[_Shared[T]]:
    """A sequence that contains each of them, items with the same key shared where their order allows."""
    groups: dict[tuple[Hashable, ...], list[Context]] = {}
    for context in sorted(sequences, key=_release_order):
        groups.setdefault(tuple(key(item) for item in sequences[context]), []).append(context)
    merged: list[_Shared[T]] = []
    for keys, contexts in sorted(groups.items(), key=lambda group: -len(group[1])):
        items = sequences[contexts[0]]
        matcher = SequenceMatcher(None, [key(shared.item) for shared in merged], keys, autojunk=False)
        result: list[_Shared[T]] = []
        for tag, first, last, new_first, new_last in matcher.get_opcodes():
            result += merged[first:last]
            if tag == "equal":
                for shared in merged[first:last]:
                    shared.contexts.update(contexts)
            else:
                result += [_Shared(item=item, contexts=set(contexts)) for item in items[new_first:new_last]]
        merged = result
    return merged


def _in_order_of_release(merged: list[_Shared[Line]]) -> list[_Shared[Line]]:
    """The same, with lines that no context has both of in the order of their releases."""
    ordered = list(merged)
    for end in range(len(ordered), 1, -1):
        for i in range(end - 1):
            first, second = ordered[i], ordered[i + 1]
            free = first.contexts.isdisjoint(second.contexts)
            if free and min(map(_release_order, second.contexts)) < min(map(_release_order, first.contexts)):
                ordered[i : i + 2] = [second, first]
    return ordered


def _release_order(context: Context) -> tuple[tuple[int, ...], str, str]:
    return release_number(context.release), context.format, context.implementation


def _old_guards(steps: Sequence[GoldenStep]) -> dict[str, list[Guard]]:
    """The guards that stand at a line or heading, by its text."""
    guards: dict[str, list[Guard]] = {}
    for step in steps:
        guards.setdefault(f"== {step.title}", []).append(step.guard)
        for line in step.lines:
            guards.setdefault(line.line.text, []).append(line.guard)
    return guards


def _only_where(lines: tuple[GuardedLine, ...], guard: Guard, here: frozenset[Context]) -> tuple[GuardedLine, ...]:
    """The lines that anybody answers where the step's own guard holds."""
    where = frozenset(filter(guard.holds, here))
    return tuple(line for line in lines if any(map(line.guard.holds, where)))
