"""What a run shows on the terminal, in the manner of iotests' check.

A line for each case with its time and its last time; a failing one with its diff below; at the end who is wrong, what
failed, what was not run and why, and how many passed. Of a long run the first failures are shown there again, for those
who only see the end of a log. On a terminal the last line tells what runs; elsewhere there are plain lines only.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from backcheck.running.case_items import RunPlan, case_id, failure_text, record_of
from backcheck.running.judgement import Judgement, Record
from backcheck.running.run_check import RunCheck

ID_WIDTH = 26
WORD_WIDTH = 7
INDENT = "    "
SCREEN = 40
"""Runs of cases that are too many to see the first failure together with the end."""
SHOWN_AGAIN = 5

# What a judgement is called on its line, and how it is coloured.
_WORDS: dict[Judgement, tuple[str, dict[str, bool]]] = {
    Judgement.PASSED: ("pass", {"green": True}),
    Judgement.DIFFERS: ("fail", {"red": True}),
    Judgement.NO_GOLDEN: ("fail", {"red": True}),
    Judgement.FAILED: ("fail", {"red": True}),
    Judgement.BROKEN: ("broken", {"red": True, "bold": True}),
    Judgement.CRASHED: ("crash", {"red": True, "bold": True}),
    Judgement.HUNG: ("hung", {"red": True, "bold": True}),
    Judgement.SKIPPED: ("not run", {"yellow": True}),
    Judgement.EXPECTED: ("xfail", {"yellow": True}),
    Judgement.UNEXPECTED: ("xpass", {"red": True}),
}
_DIFF_COLOURS = {"-": {"red": True}, "+": {"green": True}}


class RunState(Protocol):
    """What the reporter reads of the session."""

    records: list[Record]
    unjudged: list[str]
    check: RunCheck
    candidates: list[Path]
    interrupted: bool


class CaseReporter:
    """The hooks that write. pytest's own reporter is told to write nothing of cases; `state` is the session's."""

    def __init__(self, terminal: "pytest.TerminalReporter", plan: RunPlan, state: RunState) -> None:
        self._terminal = terminal
        self._plan = plan
        self._state = state
        self._history = plan.results.history()
        self._began = time.monotonic()
        self._running: list[str] = []
        self._collected = 0
        self._live = terminal.isatty and terminal.hasmarkup

    def pytest_sessionstart(self) -> None:
        """Tells what is tested."""
        for each in self._plan.implementations:
            self._terminal.write_line(f"on {each.name}: {each.version}, {each.place}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learns how many there are."""
        self._collected = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Learns how many there are from a worker of xdist."""
        self._collected = len(ids)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Gives cases categories of their own, without a letter or a word, so that pytest's sections leave them out."""
        record = record_of(report)
        if record is not None:
            return f"case {_WORDS[record.judgement][0]}", "", ""
        return ("failed", "", "") if report.failed and case_id(report) else None

    def pytest_runtest_logstart(self, location: tuple[str, int | None, str]) -> None:
        """On a terminal, shows what runs."""
        self._running.append(location[2])
        self._show_status()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes the lines of a case."""
        if record := record_of(report):
            self._clear_status()
            self._write_record(record)

    def pytest_runtest_logfinish(self, location: tuple[str, int | None, str]) -> None:
        """On a terminal, shows what still runs."""
        if location[2] in self._running:
            self._running.remove(location[2])
        self._show_status()

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self) -> None:
        """Writes the end of the run."""
        self._clear_status()
        if not self._state.records and not self._state.unjudged:
            return
        self._terminal.ensure_newline()
        self._show_failures_again()
        for lines in (self._wrong(), self._not_run(), self._failures(), [self._passed()]):
            for line in lines:
                self._terminal.write_line(line)

    def _write_record(self, record: Record) -> None:
        word, markup = _WORDS[record.judgement]
        last = self._history.get(record.id)
        timing = f"{record.duration_s:5.1f}s" + (f"  (last: {last.duration_s:.1f}s)" if last else "")
        self._terminal.ensure_newline()
        self._terminal.write(f"{record.id:{ID_WIDTH}}  ")
        self._terminal.write(f"{word:{WORD_WIDTH}}", **markup)
        short = record.judgement in (Judgement.SKIPPED, Judgement.EXPECTED)
        self._terminal.write_line(f" {record.reason}" if short else timing)
        if not record.judgement.good:
            self._write_failure(record)

    def _write_failure(self, record: Record) -> None:
        for line in failure_text(record).splitlines():
            self._terminal.write_line(f"{INDENT}{line}", **_DIFF_COLOURS.get(line[:1], {}))

    def _show_failures_again(self) -> None:
        if len(self._state.records) <= SCREEN:
            return
        failed = [record for record in self._state.records if not record.judgement.good]
        for record in failed[:SHOWN_AGAIN]:
            self._terminal.write_line(f"Once more: {record.id}", bold=True)
            self._write_failure(record)
        if len(failed) > SHOWN_AGAIN:
            self._terminal.write_line(f"{len(failed) - SHOWN_AGAIN} more failures are shown further up")

    def _wrong(self) -> list[str]:
        """Verdicts over several implementations, and complaints about the whole."""
        check = self._state.check
        lines = [f"{number}: {text}" for number, text in check.verdicts.items()]
        lines += [f"Error: {text}" for text in check.complaints]
        if self._state.candidates:
            folder = _short(self._plan.results.folder)
            names = " ".join(path.name for path in self._state.candidates)
            lines.append(f"New goldens, to be looked at with `backcheck review`, in {folder}: {names}")
        return lines

    def _not_run(self) -> list[str]:
        """Skipped cases, counted for each implementation, with the reasons; and implementations that are not there."""
        missing = self._plan.missing.items()
        lines = [f"Not run: all on {name}: {reason.removeprefix(f'{name}: ')}" for name, reason in missing]
        for name in dict.fromkeys(record.implementation for record in self._state.records):
            reasons: dict[str, list[Record]] = {}
            for record in self._state.records:
                if record.implementation == name and record.judgement is Judgement.SKIPPED:
                    reasons.setdefault(record.reason, []).append(record)
            if reasons:
                lines.append(f"Not run: {sum(map(len, reasons.values()))} on {name}")
                lines += sorted(f"{INDENT}{_ids(records)}: {reason}" for reason, records in reasons.items())
        return lines

    def _failures(self) -> list[str]:
        failed = [record.id for record in self._state.records if not record.judgement.good]
        failed = sorted([*failed, *self._state.unjudged])
        return [f"Failures: {' '.join(failed)}"] if failed else []

    def _passed(self) -> str:
        records = self._state.records
        judgements = Counter(record.judgement for record in records)
        not_run, expected = judgements[Judgement.SKIPPED], judgements[Judgement.EXPECTED]
        passed = judgements[Judgement.PASSED] + expected
        ran = len(records) - not_run + len(self._state.unjudged)
        whole = passed == ran and not self._state.interrupted
        count = f"all {ran}" if whole else f"{passed} of {ran}"
        if whole and (not_run or self._plan.missing):
            count += " that ran"
        notes = [f"{expected} failed as expected"] * bool(expected) + [f"{not_run} not run"] * bool(not_run)
        note = f" ({', '.join(notes)})" if notes else ""
        seconds = time.monotonic() - self._began
        before = "Interrupted: passed" if self._state.interrupted else "Passed"
        return f"{before} {count}{note} in {seconds:.1f} s; results: {_short(self._plan.results.folder)}"

    def _show_status(self) -> None:
        if self._live:
            text = f"[{len(self._state.records)}/{self._collected or '?'}] {' '.join(self._running)}"
            self._terminal.rewrite(text[: shutil.get_terminal_size().columns - 1], erase=True, bold=True)
            self._terminal.flush()

    def _clear_status(self) -> None:
        if self._live:
            self._terminal.rewrite("", erase=True)
            self._terminal.rewrite("")


def _ids(records: Sequence[Record]) -> str:
    return " ".join(record.id for record in sorted(records, key=lambda record: record.id))


def _short(path: Path) -> str:
    """A path as seen from here, when that is shorter."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else f"./{relative}"
