"""What a run of one case on one implementation and format came to, its golden looked at: a record that can be written.

`judge` makes one of a result and the golden on disk. Everything after it (verdicts, the results folder, reports,
review) works on records, in the same process or in another one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from backcheck.definition import CaseDefinition
from backcheck.errors import ExpectationFailed, GoldenError
from backcheck.golden.golden_file import (
    Golden,
    answer_of,
    compare_answers,
    expected_answer,
    read_golden,
    render_steps,
    steps_of,
)
from backcheck.golden.guards import ENGINE, Context
from backcheck.running.result import CaseResult, Outcome


class Judgement(Enum):
    """How a run ended, its golden looked at."""

    PASSED = "passed"
    DIFFERS = "differs"
    """The answer is not the golden's, or the golden is not the case's."""
    NO_GOLDEN = "no golden"
    FAILED = "failed"
    """An expectation of the case does not hold."""
    BROKEN = "broken"
    """The case or its golden is wrong."""
    CRASHED = "crashed"
    HUNG = "hung"
    SKIPPED = "skipped"
    EXPECTED = "failed as expected"
    UNEXPECTED = "unexpectedly passed"

    @property
    def good(self) -> bool:
        """Whether nobody has to look at it."""
        return self in (Judgement.PASSED, Judgement.SKIPPED, Judgement.EXPECTED)


_OF_OUTCOME = {
    Outcome.PASSED: Judgement.PASSED,
    Outcome.FAILED: Judgement.FAILED,
    Outcome.SKIPPED: Judgement.SKIPPED,
    Outcome.CRASHED: Judgement.CRASHED,
    Outcome.HUNG: Judgement.HUNG,
    Outcome.BROKEN: Judgement.BROKEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run. `answer` is the normalised conversation as a golden's steps, when the case came to its end."""

    number: str
    slug: str
    implementation: str
    release: str
    format: str
    judgement: Judgement
    reason: str = ""
    difference: tuple[str, ...] = ()
    duration_s: float = 0.0
    evidence: str | None = None
    answer: str | None = None
    case_digest: str = ""

    @property
    def id(self) -> str:
        """`112[qemu-7.2-raw]`."""
        return f"{self.number}[{self.implementation}-{self.format}]"

    @property
    def context(self) -> Context:
        """Where the answer was given."""
        return Context(implementation=self.implementation, release=self.release, format=self.format)

    def to_json(self) -> dict[str, object]:
        """As plain values, for files and for reports of workers."""
        return {**asdict(self), "judgement": self.judgement.value, "difference": list(self.difference)}

    @staticmethod
    def from_json(values: Mapping[str, object]) -> "Record":
        """The record that `to_json` made."""
        known = {**values, "judgement": Judgement(values["judgement"]), "difference": tuple(values["difference"])}  # type: ignore[arg-type]
        return Record(**known)  # type: ignore[arg-type]


def case_digest(path: Path) -> str:
    """A short text that changes when the case's file does."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def judge(definition: CaseDefinition, result: CaseResult, golden_folder: Path) -> Record:
    """Compares what a case's run told with its golden. Runs never write goldens."""
    record = Record(
        number=definition.number,
        slug=definition.slug,
        implementation=result.implementation,
        release=result.release,
        format=result.format,
        judgement=_OF_OUTCOME[result.outcome],
        reason=result.reason,
        duration_s=result.duration_s,
        evidence=str(result.evidence) if result.evidence else None,
        case_digest=case_digest(definition.path),
    )
    if result.outcome is not Outcome.PASSED:
        return record
    try:
        answer = answer_of(result.transcript)
        record = replace(record, answer=render_steps(steps_of(answer)))
        golden = read_golden(golden_folder / definition.golden_name)
        if golden is None:
            reason = (
                f"there is no golden yet: look at the answer and accept it with `backcheck review {definition.number}`"
            )
            return replace(record, judgement=Judgement.NO_GOLDEN, reason=reason)
        if stale := _stale(golden, definition):
            return replace(record, judgement=Judgement.DIFFERS, reason=stale)
        difference = compare_answers(expected_answer(golden.steps, record.context), answer)
    except ExpectationFailed as error:
        return replace(record, judgement=Judgement.FAILED, reason=str(error))
    except GoldenError as error:
        return replace(record, judgement=Judgement.BROKEN, reason=str(error))
    if difference is None:
        return record
    reason = f"the answer differs from golden/{definition.golden_name}"
    if record.implementation not in (*golden.header.confirmed, ENGINE):
        reason = f"unconfirmed release {record.implementation}: {reason}"
    return replace(record, judgement=Judgement.DIFFERS, reason=reason, difference=difference.lines)


def _stale(golden: Golden, definition: CaseDefinition) -> str:
    """What a golden's header says otherwise than the case, or nothing."""
    header = golden.header
    if (header.number, header.slug) != (definition.number, definition.slug):
        return (
            f"golden/{definition.golden_name} is of case {header.number} {header.slug}, "
            f"not of {definition.number} {definition.slug}"
        )
    if header.not_on != tuple(definition.not_on.items()):
        return f"the `not` lines of golden/{definition.golden_name} are not the case's: `backcheck review` writes them"
    return ""
