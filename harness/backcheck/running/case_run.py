"""Running cases from the command line: pytest with options of our own, and nothing of the current folder's."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backcheck.catalogue import Catalogue
from backcheck.cli import EXIT_CRASHED, EXIT_DIFFERS, EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from backcheck.errors import UsageError

INI_FILE = Path(__file__).with_name("cases.ini")
AUTO = "auto"


class _Ending:
    """Notices how the session ended, where pytest's exit status says less."""

    def __init__(self) -> None:
        self.interrupted = False
        self.not_loaded = False
        self.internal_error = False

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = excinfo.type is KeyboardInterrupt  # pytest's own interruptions are subclasses

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.not_loaded = self.not_loaded or report.failed

    def pytest_internalerror(self) -> None:
        self.internal_error = True


def run_under_pytest(catalogue: Catalogue, options: argparse.Namespace) -> int:
    """Runs what the options of `backcheck run` select and returns our exit status."""
    arguments = [*_pytest_arguments(catalogue, options), *options.pytest_options]
    # Only plugins that are named: what else is installed for somebody's own tests does not touch the cases.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    ending = _Ending()
    status = pytest.main(arguments, plugins=[ending])
    if ending.internal_error:
        return EXIT_INTERNAL
    if ending.interrupted:
        return EXIT_INTERRUPTED
    if ending.not_loaded:
        return EXIT_USAGE
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise UsageError("nothing to run: no case is all of what was selected")
    return _EXIT_STATUS[int(status)]


# pytest's exit status -> ours. 2 is an end that an option of pytest brought about, as -x does.
_EXIT_STATUS = {0: EXIT_OK, 1: EXIT_DIFFERS, 2: EXIT_DIFFERS, 3: EXIT_CRASHED, 4: EXIT_USAGE}


def _pytest_arguments(catalogue: Catalogue, options: argparse.Namespace) -> list[str]:
    arguments = ["-c", str(INI_FILE), "--rootdir", str(catalogue.root), "-qq", "-p", "backcheck.plugin"]
    arguments += ["--backcheck-cases", "--backcheck-root", str(catalogue.root)]
    arguments += _named("--backcheck-only", options.numbers)
    arguments += _named("--backcheck-group", options.group)
    arguments += _named("--backcheck-format", options.formats)
    arguments += _named("--backcheck-on", options.on)
    arguments += ["--backcheck-skip-missing"] if options.skip_missing else []
    for name in ("results", "timeout", "wrapper", "expect_fail"):
        value = getattr(options, name)
        if value is not None:
            arguments += _named(f"--backcheck-{name.replace('_', '-')}", [value])
    return [*arguments, *_worker_arguments(options.workers)]


def _named(name: str, values: list[str]) -> Iterator[str]:
    """`name=value` for each, so that a value may begin with a dash."""
    return (f"{name}={value}" for value in values)


def _worker_arguments(workers: str) -> list[str]:
    """xdist's options; one worker is this process."""
    if workers != AUTO and not (workers.isdecimal() and int(workers) > 0):
        raise UsageError(f"-n {workers}: give a number of cases to run at once, or {AUTO}")
    return [] if workers == "1" else ["-p", "xdist", "-n", workers]
