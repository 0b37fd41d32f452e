"""The golden that a case should have, made of the answers of implementations and of the golden it has.

It is what a mismatch leaves as NNN.out.new, and what review shows and writes. A QEMU is the truth: an engine that
answers otherwise than the same release of QEMU does not come into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from backcheck.definition import CaseDefinition
from backcheck.golden.golden_file import (
    CONFIRMING,
    Answer,
    Golden,
    Header,
    compare_answers,
    expected_answer,
    render_golden,
)
from backcheck.golden.guards import ENGINE, Context, parse_guard, release_number
from backcheck.golden.merge import merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A golden and what a person should know before accepting it."""

    golden: Golden
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of the file."""
        return render_golden(self.golden)

    @property
    def only_engine(self) -> bool:
        """Whether no QEMU stands behind it, so that it needs a reason."""
        return not any(name != ENGINE for name in self.golden.header.confirmed)


def propose(
    definition: CaseDefinition, answers: Mapping[Context, Answer], old: Golden | None, unconfirmed: str | None = None
) -> Proposal | None:
    """The golden of these answers; None when there is no answer to make one of.

    answers: to the case as its file is now. unconfirmed: why no QEMU can confirm it; otherwise the old golden's reason.
    Raises GoldenError when two QEMUs of one release answered differently.
    """
    answers, notes = _without_contradicted(answers)
    if not answers:
        return None
    everything = {**_still_confirmed(definition, answers, old), **answers}
    confirmed = _confirming(definition, everything, old, notes)
    only_engine = not any(name != ENGINE for name in confirmed)
    header = Header(
        number=definition.number,
        slug=definition.slug,
        confirmed=confirmed,
        not_on=tuple(definition.not_on.items()),
        unconfirmed=(unconfirmed or (old.header.unconfirmed if old else None)) if only_engine else None,
    )
    steps = merge(everything, old.steps if old else ())
    return Proposal(golden=Golden(header=header, steps=steps), notes=tuple(notes))


def _without_contradicted(answers: Mapping[Context, Answer]) -> tuple[dict[Context, Answer], list[str]]:
    """The answers without those of an engine that a QEMU of the same release and format contradicts."""
    kept, notes = dict[Context, Answer](), []
    for context, answer in sorted(answers.items()):
        rivals = [
            (other, others_answer)
            for other, others_answer in answers.items()
            if (other.release, other.format) == (context.release, context.format)
            and _precedence(other) < _precedence(context)
            and compare_answers(others_answer, answer) is not None
        ]
        if rivals:
            notes.append(f"{context} is left out: {rivals[0][0]} answers otherwise, and counts")
        else:
            kept[context] = answer
    return kept, notes


def _precedence(context: Context) -> int:
    """Whose answer counts among the same release: a confirming QEMU's, then another build's, then the engine's."""
    if context.implementation.split("-")[0] == ENGINE:
        return 2
    return 0 if _counts(context) else 1


def _still_confirmed(
    definition: CaseDefinition, answers: Mapping[Context, Answer], old: Golden | None
) -> dict[Context, Answer]:
    """What the old golden expects of those who confirmed it and gave no answer now.

    It counts when anybody answers as it says now, for then the case is still the same.
    """
    if old is None:
        return {}
    same = any(
        compare_answers(expected_answer(old.steps, context), answer) is None for context, answer in answers.items()
    )
    engine_release = next((context.release for context in answers if context.implementation == ENGINE), "10.0")
    contexts = {
        context
        for name in old.header.confirmed
        for context in _contexts(definition, name, _release_of(name, engine_release))
        if context not in answers
    }
    return {context: expected_answer(old.steps, context) for context in contexts} if same else {}


def _confirming(
    definition: CaseDefinition, answers: Mapping[Context, Answer], old: Golden | None, notes: list[str]
) -> tuple[str, ...]:
    """Who answered on every format on which the case runs there; notes name those who do not any more, or not yet."""
    named = {context.implementation: context.release for context in answers if _counts(context)}
    whole = {name for name, release in named.items() if set(_contexts(definition, name, release)) <= set(answers)}
    notes += [f"{name} does not confirm it yet: it has not answered on every format" for name in set(named) - whole]
    before = old.header.confirmed if old else ()
    notes += [
        f"{name} does not confirm it any more: the case changed, run it there" for name in before if name not in named
    ]
    return tuple(sorted(whole, key=_order))


def _contexts(definition: CaseDefinition, name: str, release: str) -> list[Context]:
    """Where a case runs on an implementation."""
    contexts = (Context(implementation=name, release=release, format=format) for format in definition.formats)
    guards = [parse_guard(guard, engine_allowed=True) for guard in definition.not_on]
    return [context for context in contexts if not any(guard.holds(context) for guard in guards)]


def _release_of(name: str, engine_release: str) -> str:
    match = CONFIRMING.fullmatch(name)
    return (match["release"] if match else None) or engine_release


def _counts(context: Context) -> bool:
    """Whether this name may stand behind `confirmed`: the engine as it is, or a QEMU."""
    return bool(CONFIRMING.fullmatch(context.implementation))


def _order(name: str) -> tuple[int, ...]:
    return () if name == ENGINE else release_number(_release_of(name, ""))
