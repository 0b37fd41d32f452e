"""A pytest session that runs numbered cases: its plan, its collection, and what its controller does at the end."""

import shutil
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import pytest

from backcheck.catalogue import Catalogue, find_catalogue, parse_numbers
from backcheck.definition import FILE_NAME, SOURCE_FORMATS
from backcheck.errors import UsageError
from backcheck.implementation import Implementation, find_implementation
from backcheck.report.terminal import CaseReporter
from backcheck.rules import read_rules
from backcheck.running.case_items import CaseFile, RunPlan, attach_record, case_id, record_of
from backcheck.running.expected_failures import read_expected_failures
from backcheck.running.judgement import Judgement, Record
from backcheck.running.results import DEFAULT_FOLDER, RecordLines, Results
from backcheck.running.run_check import RunCheck, check_run, leave_candidates

EXIT_DIFFERS = 1
EXIT_CRASHED = 3
REPORTER_NAME = "backcheck-reporter"
WORKSPACE = "backcheck_workspace"
LONGEST_TIMEOUT_S = 1e8
"""Years; what is beyond, as `inf`, no alarm can be set to."""


class WorkerNode(Protocol):
    """What is used of xdist's controller of one worker."""

    workerinput: dict[str, str]


def make_plan(config: pytest.Config) -> RunPlan:
    """The plan that the options describe. Raises UsageError."""
    root = config.getoption("backcheck_root")
    catalogue = Catalogue(root=Path(root).absolute()) if root else find_catalogue()
    only = config.getoption("backcheck_only")
    groups = frozenset(config.getoption("backcheck_group"))
    formats = config.getoption("backcheck_format")
    expect_fail = config.getoption("backcheck_expect_fail")
    timeout_s = config.getoption("backcheck_timeout")
    if timeout_s is not None and not 0 < timeout_s < LONGEST_TIMEOUT_S:
        raise UsageError(f"a time limit of {timeout_s:g} s is none")
    if groups:
        catalogue.definitions((), groups)  # complains about a group that no case is in
    numbers = parse_numbers(only, catalogue.case_files())
    rules = frozenset(rule.id for rule in read_rules(catalogue.rules))
    expected_failures = read_expected_failures(Path(expect_fail), catalogue.case_files()) if expect_fail else ()
    implementations, missing = _implementations(
        config.getoption("backcheck_on"),
        config.getoption("backcheck_wrapper"),
        skip_missing=config.getoption("backcheck_skip_missing"),
    )
    return RunPlan(
        catalogue=catalogue,
        numbers=numbers,
        groups=groups,
        formats=tuple(dict.fromkeys(formats)) or SOURCE_FORMATS,
        implementations=implementations,
        missing=missing,
        workspace=_workspace(config),  # the last that is made: nothing above leaves a folder behind
        results=Results(Path(config.getoption("backcheck_results") or DEFAULT_FOLDER)),
        timeout_s=timeout_s,
        expected_failures=expected_failures,
        rules=rules,
        full=not (only or groups or formats),
    )


def _implementations(
    names: list[str], wrapper: str | None, *, skip_missing: bool
) -> tuple[tuple[Implementation, ...], dict[str, str]]:
    """The implementations under test, each once, none with the name of another; and those that are missing, and why."""
    found: list[Implementation] = []
    missing: dict[str, str] = {}
    for name in names or ["engine"]:
        try:
            implementation = find_implementation(name)
        except UsageError as error:
            if not skip_missing:
                raise
            missing[name] = str(error)
            continue
        twin = next((other for other in found if other.name == implementation.name), None)
        if twin is not None and twin != implementation:
            raise UsageError(
                f"{name} is a {implementation.name}, as {twin.place} is: run them one after the other, "
                f"each with its own --results"
            )
        if twin is None:
            found.append(implementation)
    if not found:
        raise UsageError("; ".join(missing.values()))
    return tuple(each.wrapped(wrapper) if wrapper else each for each in found), missing


def _workspace(config: pytest.Config) -> Path:
    """The folder below which cases run: the controller makes it and removes it, whatever became of its workers."""
    given: dict[str, str] = getattr(config, "workerinput", {})
    return Path(given[WORKSPACE] if WORKSPACE in given else tempfile.mkdtemp(prefix="bc-"))


class CaseSession:
    """The hooks of a session that runs cases, in the controller and in each worker."""

    def __init__(self, config: pytest.Config, plan: RunPlan) -> None:
        self.config = config
        self.plan = plan
        self.is_controller = not hasattr(config, "workerinput")
        self.records: list[Record] = []
        self.unjudged: list[str] = []
        """Ids of cases that failed without a record: the harness is wrong, or a worker died."""
        self.check = RunCheck(verdicts={}, complaints=())
        self.candidates: list[Path] = []
        self.interrupted = False
        self._lines: RecordLines | None = None
        self._began = time.monotonic()
        self._collect_cases()
        if self.is_controller:
            self._add_reporter()

    def _collect_cases(self) -> None:
        """Makes the folder of cases an argument: the only one, unless a person named others."""
        folder = str(self.plan.catalogue.cases)
        if self.config.args_source is not pytest.Config.ArgsSource.ARGS:
            self.config.args[:] = [folder]
        elif folder not in self.config.args:
            self.config.args.append(folder)

    def _add_reporter(self) -> None:
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None and not self.config.getoption("collectonly"):
            self.config.pluginmanager.register(CaseReporter(terminal, self.plan, self), REPORTER_NAME)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """In the controller: begins the file of records, and keeps xdist's lines about workers from between ours."""
        if not self.is_controller or self.config.getoption("collectonly"):
            return
        try:
            self._lines = self.plan.results.begin()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        plugins = self.config.pluginmanager
        if workers := plugins.getplugin("terminaldistreporter"):
            plugins.unregister(workers)
        if distribution := plugins.getplugin("dsession"):
            distribution.terminal = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerNode) -> None:
        """Tells a worker of xdist, before it starts, where cases run."""
        node.workerinput[WORKSPACE] = str(self.plan.workspace)

    def pytest_unconfigure(self) -> None:
        """In the controller: removes what an interrupted case left."""
        if self._lines is not None:
            self._lines.close()
        if self.is_controller:
            shutil.rmtree(self.plan.workspace, ignore_errors=True)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> CaseFile | None:
        """A case file that the plan selects."""
        match = FILE_NAME.fullmatch(file_path.name)
        if match is None or file_path.parent != self.plan.catalogue.cases or match["number"] not in self.plan.numbers:
            return None
        return CaseFile.of(parent, file_path, self.plan)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Puts records on reports, so that they reach the controller."""
        report = yield
        attach_record(item, report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the controller: collects records."""
        if record := record_of(report):
            self.records.append(record)
            if self._lines is not None:
                self._lines.add(record)
        elif report.failed and (id := case_id(report)):
            self.unjudged.append(id)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In the controller: looks at the whole run, writes results, and decides the exit status."""
        nothing_ran = not self.records and not self.unjudged
        if not self.is_controller or nothing_ran or self.config.getoption("collectonly"):
            return
        order = [each.name for each in self.plan.implementations]
        self.records.sort(key=lambda record: (record.number, order.index(record.implementation), record.format))
        plan, whole = self.plan, session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        self.check = check_run(plan.catalogue, self.records, self.unjudged, full=plan.full and whole)
        plan.results.write_run(self.records, self._totals())
        self.candidates = leave_candidates(plan.catalogue, self.records, plan.results)
        if not whole:
            self.interrupted = True
            return
        judgements = {record.judgement for record in self.records}
        if judgements & {Judgement.CRASHED, Judgement.HUNG}:
            session.exitstatus = EXIT_CRASHED
        elif self.check.complaints:
            session.exitstatus = EXIT_DIFFERS

    def _totals(self) -> dict[str, object]:
        """The last line of results.jsonl."""
        counts = {judgement.value: 0 for judgement in Judgement}
        for record in self.records:
            counts[record.judgement.value] += 1
        return {
            "total": len(self.records),
            "counts": {name: count for name, count in counts.items() if count},
            "duration_s": round(time.monotonic() - self._began, 3),
            "implementations": {each.name: each.version for each in self.plan.implementations},
            "missing": dict(self.plan.missing),
            "verdicts": self.check.verdicts,
            "complaints": list(self.check.complaints),
        }
