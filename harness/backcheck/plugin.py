"""The pytest plugin: collects numbered cases when `--backcheck-cases` asks for them, and offers a fixture to others.

In a session that does not ask it only defines its options and the fixture `backcheck_engine`. Under xdist each worker
runs cases, and the controller alone judges the whole and writes results.
"""

import pytest

from backcheck.engine_fixture import backcheck_engine

__all__ = ["backcheck_engine"]

FORMATS = ("qcow2", "raw")
PLUGIN_NAME = "backcheck-run"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `backcheck run`, with a prefix."""
    group = parser.getgroup("backcheck", "numbered cases for drive-backup")
    group.addoption("--backcheck-cases", action="store_true", help="run the numbered cases of Backcheck")
    group.addoption("--backcheck-root", metavar="DIR", help="the folder that has cases/ and golden/")
    group.addoption(
        "--backcheck-only", action="append", default=[], metavar="NNN", help="a number, or a range as 100-120"
    )
    group.addoption("--backcheck-group", action="append", default=[], metavar="GROUP", help="only cases of this group")
    group.addoption(
        "--backcheck-format", action="append", default=[], choices=FORMATS, help="only this format of the source"
    )
    group.addoption(
        "--backcheck-on",
        action="append",
        default=[],
        metavar="IMPLEMENTATION",
        help="engine (default), qemu, qemu-RELEASE, or the path of a qemu-system program",
    )
    group.addoption(
        "--backcheck-skip-missing", action="store_true", help="do without an implementation that is not there"
    )
    group.addoption("--backcheck-results", metavar="DIR", help="where results go (backcheck-results)")
    group.addoption("--backcheck-timeout", type=float, metavar="S", help="the time limit of a case, in seconds")
    group.addoption("--backcheck-wrapper", metavar="COMMAND", help="put before the program, as 'gdb --args'")
    group.addoption("--backcheck-expect-fail", metavar="FILE", help="cases that are known to fail, and why")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Sets up a session that runs cases; raises pytest.UsageError when it cannot."""
    if not config.getoption("backcheck_cases"):
        return
    from backcheck.errors import HarnessError
    from backcheck.running.pytest_session import CaseSession, make_plan

    try:
        plan = make_plan(config)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(CaseSession(config, plan), PLUGIN_NAME)
