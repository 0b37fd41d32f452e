"""Numbered cases as pytest's files and items: one item for each implementation and source format.

An item runs its case under a time limit and judges the answer. What came of it, a Record, travels on the report of its
call, also from an xdist worker to the controller.
"""

import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import pytest

from backcheck.catalogue import Catalogue
from backcheck.definition import CaseDefinition, load_case
from backcheck.errors import CaseTimeout, UsageError
from backcheck.implementation import Implementation
from backcheck.running.expected_failures import ExpectedFailure, expected_reason
from backcheck.running.judgement import Judgement, Record, judge
from backcheck.running.results import Results

GRACE_S = 1.0
"""How much longer than a case's waits, which end at its time limit and say what they waited for, the case may take."""
ALARM_AGAIN_S = 10.0
RECORD = "backcheck_record"
"""The attribute of a report that holds the record, as plain values."""

_CASE_ID = re.compile(r"::(\d{3,}\[[^]]+\])$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a session runs, and how: the same in the controller and in every worker."""

    catalogue: Catalogue
    numbers: frozenset[str]
    groups: frozenset[str]
    formats: tuple[str, ...]
    """Source formats to run on; a case runs on those of them that it names."""
    implementations: tuple[Implementation, ...]
    missing: Mapping[str, str]
    """Implementations that were asked for and are not there, and why."""
    workspace: Path
    """Each case has a folder of its own in it."""
    results: Results
    timeout_s: float | None
    expected_failures: tuple[ExpectedFailure, ...]
    rules: frozenset[str]
    """Ids of the rules that there are."""
    full: bool
    """Every case on every format it names: what a selection hides can be checked too."""

    def contains(self, definition: CaseDefinition) -> bool:
        """Whether a case is selected by its groups; its number is known by its file's name."""
        return not self.groups or bool(self.groups & definition.groups)


class CaseFile(pytest.File):
    """A case file."""

    plan: RunPlan

    @staticmethod
    def of(parent: pytest.Collector, path: Path, plan: RunPlan) -> "CaseFile":
        """The node of a case file."""
        file = CaseFile.from_parent(parent, path=path)
        assert isinstance(file, CaseFile)
        file.plan = plan
        return file

    def collect(self) -> Iterator[pytest.Item]:
        try:
            definition = load_case(self.path)
        except UsageError as error:
            raise self.CollectError(str(error)) from error
        if unknown := [rule for rule in definition.rules if rule not in self.plan.rules]:
            raise self.CollectError(f"{self.path}: there is no rule {', '.join(unknown)} in cases/rules.toml")
        if not self.plan.contains(definition):
            return
        if self.plan.timeout_s is not None:
            definition = replace(definition, timeout_s=self.plan.timeout_s)
        for implementation in self.plan.implementations:
            for format in definition.formats:
                if format in self.plan.formats:
                    yield CaseItem.of(self, definition, implementation, format)


class CaseItem(pytest.Item):
    """One case on one implementation and format."""

    definition: CaseDefinition
    implementation: Implementation
    format: str
    plan: RunPlan
    record: Record | None = None

    @staticmethod
    def of(parent: CaseFile, definition: CaseDefinition, implementation: Implementation, format: str) -> "CaseItem":
        """The item `112[qemu-7.2-raw]`."""
        name = f"{definition.number}[{implementation.name}-{format}]"
        item = CaseItem.from_parent(parent, name=name)
        assert isinstance(item, CaseItem)
        item.definition, item.implementation, item.format = definition, implementation, format
        item.plan = parent.plan
        item.user_properties += [("title", definition.title), ("rules", " ".join(definition.rules))]
        return item

    def runtest(self) -> None:
        self.record = self._expectation_applied(self._run())
        if self.record.judgement is Judgement.SKIPPED:
            pytest.skip(self.record.reason)
        if not self.record.judgement.good:
            raise CaseFailed(self.record)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        if isinstance(excinfo.value, CaseFailed):
            return failure_text(excinfo.value.record)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple["os.PathLike[str] | str", int | None, str]:
        return self.path, 0, self.name

    def _run(self) -> Record:
        from backcheck.running.runner import run_case  # it imports qemu.qmp, which a session without cases does without

        definition = self.definition
        with tempfile.TemporaryDirectory(prefix="", dir=self.plan.workspace, ignore_cleanup_errors=True) as folder:
            with time_limit(definition.timeout_s + GRACE_S, f"the end of case {definition.number}"):
                result = run_case(definition, self.implementation, self.format, Path(folder))
            record = judge(definition, result, self.plan.catalogue.golden)
            if record.judgement.good or record.judgement is Judgement.NO_GOLDEN or result.evidence is None:
                return replace(record, evidence=None)
            return replace(record, evidence=str(self.plan.results.keep_evidence(result.evidence, record.id)))

    def _expectation_applied(self, record: Record) -> Record:
        reason = expected_reason(self.plan.expected_failures, record.number, record.implementation, record.format)
        if reason is None or record.judgement is Judgement.SKIPPED:
            return record
        if record.judgement is Judgement.PASSED:
            return replace(record, judgement=Judgement.UNEXPECTED, reason=f"it was expected to fail: {reason}")
        return replace(record, judgement=Judgement.EXPECTED, reason=f"{reason} ({record.reason.splitlines()[0]})")


class CaseFailed(Exception):
    """A case did not pass; the record says how."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.reason)
        self.record = record


def failure_text(record: Record) -> str:
    """All that a person reads about a run that did not pass: the reason, the diff, where the evidence is."""
    lines = [record.reason, *record.difference]
    if record.evidence:
        lines.append(f"evidence: {record.evidence}")
    return "\n".join(lines)


def attach_record(item: pytest.Item, report: pytest.TestReport) -> None:
    """Puts the record of a case's call on its report; what was expected to fail becomes an expected failure."""
    if not isinstance(item, CaseItem) or report.when != "call" or item.record is None:
        return
    setattr(report, RECORD, item.record.to_json())
    if item.record.judgement is Judgement.EXPECTED:
        report.outcome = "skipped"
        report.wasxfail = item.record.reason


def record_of(report: object) -> Record | None:
    """The record on a report, or None when it is of something else."""
    values = getattr(report, RECORD, None)
    return None if values is None else Record.from_json(values)


def case_id(report: pytest.TestReport) -> str | None:
    """The id of the case that a report is of, also of one that left no record; None for other tests."""
    match = _CASE_ID.search(report.nodeid)
    return match[1] if match else None


@contextmanager
def time_limit(seconds: float, waiting_for: str) -> Iterator[None]:
    """Raises CaseTimeout in here when that many seconds have passed, and again for what then does not end.

    Only the main thread of a process can be stopped so; elsewhere the waits of a case have deadlines of their own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(signum: int, frame: FrameType | None) -> None:
        raise CaseTimeout(seconds, waiting_for)

    previous = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds, ALARM_AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
