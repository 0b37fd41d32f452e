"""Review: shows what runs propose for the goldens, one case at a time, and writes what a person accepts.

The only place that writes goldens. It takes the answers that runs left in the results folder, and nothing else.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from backcheck.catalogue import Catalogue
from backcheck.definition import CaseDefinition
from backcheck.errors import UsageError
from backcheck.golden.golden_file import read_golden, render_golden
from backcheck.golden.proposal import Proposal, propose
from backcheck.running.judgement import case_digest
from backcheck.running.results import Results


class Decision(Enum):
    """What a person does with a proposal."""

    ACCEPT = "accept"
    LEAVE = "leave"
    QUIT = "quit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """How many goldens were written, and how many proposals were left."""

    accepted: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A case whose golden should be another one. `shown` is what a person reads before deciding."""

    definition: CaseDefinition
    proposal: Proposal
    path: Path
    shown: str


def pending(
    catalogue: Catalogue, results: Results, numbers: Sequence[str], unconfirmed: str | None = None
) -> list[Pending]:
    """The cases, among those named (or all), whose answers propose another golden. Raises UsageError, GoldenError."""
    found = []
    for definition in catalogue.definitions(numbers):
        path = catalogue.golden / definition.golden_name
        answers = results.answers(definition.number, case_digest(definition.path))
        if not answers and numbers:
            number = definition.number
            raise UsageError(f"no run has answers to case {number} as it is now: `backcheck run {number}` first")
        old = read_golden(path)
        proposal = propose(definition, answers, old, unconfirmed)
        old_text = render_golden(old) if old else ""
        if proposal is not None and proposal.text != old_text:
            shown = _shown(definition, old_text, proposal)
            found.append(Pending(definition=definition, proposal=proposal, path=path, shown=shown))
    return found


def review(
    catalogue: Catalogue,
    results: Results,
    proposals: Sequence[Pending],
    decide: Callable[[Pending], Decision],
    write: Callable[[str], None],
) -> Reviewed:
    """Shows each proposal, asks, and writes the accepted ones. A golden of the engine alone needs a reason."""
    accepted = 0
    for place, each in enumerate(proposals, 1):
        write(f"[{place}/{len(proposals)}] {each.shown}")
        if each.proposal.only_engine and not each.proposal.golden.header.unconfirmed:
            write(
                f"case {each.definition.number}: no QEMU confirms it. Run it with `--on qemu`, "
                f"or say why that cannot be: `--unconfirmed REASON`. Left."
            )
            continue
        decision = decide(each)
        if decision is Decision.QUIT:
            break
        if decision is Decision.ACCEPT:
            accept(each)
            results.write_candidate(each.definition.number, None)
            accepted += 1
            write(f"wrote {each.path}")
    return Reviewed(accepted=accepted, left=len(proposals) - accepted)


def accept(each: Pending) -> None:
    """Writes a golden. Raises UsageError when it cannot be written."""
    try:
        each.path.parent.mkdir(exist_ok=True)
        each.path.write_text(each.proposal.text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the golden cannot be written: {each.path}: {error.strerror}") from error


def _shown(definition: CaseDefinition, old_text: str, proposal: Proposal) -> str:
    """The whole golden when it is new, else the difference; and what a person should know."""
    title = f"{definition.number} {definition.title}"
    notes = "".join(f"note: {note}\n" for note in proposal.notes)
    if not old_text:
        return f"{title} (new)\n{notes}\n{proposal.text}"
    diff = difflib.unified_diff(
        old_text.splitlines(), proposal.text.splitlines(), "golden", "proposed", lineterm="", n=3
    )
    return f"{title}\n{notes}\n" + "\n".join(diff) + "\n"
