"""What only the whole of a run shows: verdicts over several implementations, goldens and guards that nobody needs,
cases that stopped being run. Works on the records that came in, whoever ran them, and on the files on disk.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backcheck.catalogue import Catalogue
from backcheck.definition import CaseDefinition, load_case
from backcheck.errors import GoldenError
from backcheck.golden.golden_file import read_golden
from backcheck.golden.merge import guard_complaints
from backcheck.golden.proposal import propose
from backcheck.running.judgement import Judgement, Record
from backcheck.running.limits import LIMITS_FILE, read_limits
from backcheck.running.results import Results
from backcheck.running.verdict import verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheck:
    """verdicts: by case number, who is wrong. complaints: what is wrong with goldens or the selection of cases."""

    verdicts: dict[str, str]
    complaints: tuple[str, ...]


def check_run(catalogue: Catalogue, records: Sequence[Record], unjudged: Sequence[str], *, full: bool) -> RunCheck:
    """Looks at all records of a run. full: nothing was left out by numbers, groups or formats.

    unjudged: ids of cases that ran and left no record.
    """
    by_case = _by_case(records)
    verdicts = {number: text for number, of_case in by_case.items() if (text := verdict(of_case))}
    complaints = [f"{id} came to no verdict: the harness failed, see above" for id in unjudged]
    if full:
        complaints += [f"golden/{path.name} belongs to no case" for path in catalogue.unused_goldens()]
        complaints += _not_run_complaints(catalogue.cases, records)
        for number, of_case in by_case.items():
            complaints += _guard_complaints(catalogue, number, of_case)
    return RunCheck(verdicts=verdicts, complaints=tuple(complaints))


def leave_candidates(catalogue: Catalogue, records: Sequence[Record], results: Results) -> list[Path]:
    """Writes NNN.out.new for each case whose golden does not fit, removes the others'; returns those it wrote."""
    written = []
    files = catalogue.case_files()
    for number, of_case in _by_case(records).items():
        if not any(record.answer is not None for record in of_case):
            continue
        fits = all(record.judgement is not Judgement.NO_GOLDEN and not record.difference for record in of_case)
        text = None if fits else _candidate(load_case(files[number]), of_case, catalogue, results)
        results.write_candidate(number, text)
        if text is not None:
            written.append(results.candidate(number))
    return written


def _candidate(
    definition: CaseDefinition, records: Sequence[Record], catalogue: Catalogue, results: Results
) -> str | None:
    try:
        old = read_golden(catalogue.golden / definition.golden_name)
        proposal = propose(definition, results.answers(definition.number, records[0].case_digest), old)
    except GoldenError:
        return None
    return proposal.text if proposal else None


def _guard_complaints(catalogue: Catalogue, number: str, records: Sequence[Record]) -> list[str]:
    """Complaints about a golden's guards, in a run on everything that confirmed it."""
    try:
        golden = read_golden(catalogue.golden / f"{number}.out")
    except GoldenError:
        return []
    ran = {record.implementation for record in records}
    if golden is None or not set(golden.header.confirmed) <= ran or len(ran) < 2:
        return []
    answered = [record.context for record in records if record.judgement is Judgement.PASSED]
    if any(record.judgement not in (Judgement.PASSED, Judgement.SKIPPED) for record in records):
        return []
    return [f"golden/{number}.out: {text}" for text in guard_complaints(golden.steps, answered)]


def _not_run_complaints(cases: Path, records: Sequence[Record]) -> list[str]:
    """Implementations on which more cases were not run than the limits allow."""
    limits = read_limits(cases).not_run
    counts = Counter(record.implementation for record in records if record.judgement is Judgement.SKIPPED)
    return [
        f"{count} cases were not run on {name}, cases/{LIMITS_FILE} allows {limits[name]}"
        for name, count in sorted(counts.items())
        if name in limits and count > limits[name]
    ]


def _by_case(records: Sequence[Record]) -> dict[str, list[Record]]:
    by_case: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.number):
        by_case.setdefault(record.number, []).append(record)
    return by_case
