"""The plugin in other projects' sessions: it collects nothing unless asked, and its fixture gives them an engine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CASE = '''\
"""The machine has a name."""

from backcheck import Case, case


@case(rules=["EVT-01"])
def run(t: Case) -> None:
    t.qmp("query-name")
'''
FIXTURE_TEST = '''\
import json
import socket


class Qmp:
    """A client that another project wrote."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r")
        self.greeting = json.loads(self.lines.readline())
        self.execute("qmp_capabilities")

    def close(self):
        self.lines.close()
        self.socket.close()

    def execute(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while "event" in (message := json.loads(self.lines.readline())):
            pass
        return message["return"]


def test_an_engine(backcheck_engine, tmp_path):
    image = tmp_path / "disk1.raw"
    image.write_bytes(bytes(1 << 20))
    engine = backcheck_engine(drives={"disk0": 1 << 20, "disk1": image}, arguments=["-name", "vm"])
    Qmp(engine.socket).close()
    qmp = Qmp(engine.socket)
    assert [each["device"] for each in qmp.execute("query-block")] == ["disk0", "disk1"]
    assert qmp.execute("query-named-block-nodes")
    qmp.close()
    other = Qmp(backcheck_engine().socket)
    assert other.execute("query-block") == []
    other.close()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Another project: a test of its own, and a file that looks like a case."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    (tmp_path / "cases").mkdir()
    (tmp_path / "golden").mkdir()
    (tmp_path / "cases" / "rules.toml").write_text('[EVT-01]\nsays = "x"\nreleases = "all"\nlearned = ["observed"]\n')
    (tmp_path / "cases" / "001_a_name.py").write_text(CASE)
    (tmp_path / "golden" / "001.out").write_text("case 001 a-name\nconfirmed engine\n\n-> query-name\n<- {}\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n"
    )
    return tmp_path


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "backcheck.plugin", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_collects_nothing_unless_asked(project: Path) -> None:
    finished = run_pytest(project, "-q")
    assert finished.returncode == 0
    assert "1 passed" in finished.stdout
    assert "001" not in finished.stdout


def test_it_does_not_load_the_harness_unless_asked(project: Path) -> None:
    (project / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n"
        "    assert not {'qemu.qmp', 'backcheck.running.runner', 'backcheck_engine'} & set(sys.modules)\n"
    )
    assert run_pytest(project, "-q").returncode == 0


@pytest.mark.parametrize("more", [[], ["-p", "xdist", "-n", "2"]], ids=["serial", "xdist"])
def test_asked_it_collects_the_cases_alone_or_beside_named_tests(project: Path, more: list[str]) -> None:
    alone = run_pytest(project, "--backcheck-cases", *more)
    assert alone.returncode == 0, alone.stdout
    assert "001[engine-qcow2]" in alone.stdout
    assert "Passed all 1 in" in alone.stdout
    both = run_pytest(project, "--backcheck-cases", "test_own.py", *more)
    assert both.returncode == 0, both.stdout
    assert "001[engine-qcow2]" in both.stdout
    assert "1 passed" in both.stdout


def test_a_wrong_option_is_a_usage_error(project: Path) -> None:
    finished = run_pytest(project, "--backcheck-cases", "--backcheck-on", "nope")
    assert finished.returncode == pytest.ExitCode.USAGE_ERROR
    assert "nope: no such implementation" in finished.stderr


def test_its_fixture_gives_running_engines(project: Path) -> None:
    (project / "test_own.py").write_text(FIXTURE_TEST)
    finished = run_pytest(project, "-q")
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("arguments=['-nonsense']", "-nonsense: invalid option"),
        ("drives={'disk0': '/no/such.qcow2'}", "Could not open '/no/such.qcow2': No such file or directory"),
        ("drives={'disk0': -512}", "drive disk0: -512 is no size"),
    ],
)
def test_an_engine_that_does_not_start_fails_the_call(project: Path, argument: str, told: str) -> None:
    (project / "test_own.py").write_text(
        f"import pytest\n\ndef test_own(backcheck_engine):\n"
        f"    with pytest.raises(Exception, match={re.escape(told)!r}):\n"
        f"        backcheck_engine({argument})\n"
    )
    finished = run_pytest(project, "-q")
    assert finished.returncode == 0, finished.stdout


def test_an_engine_that_ends_by_itself_fails_the_test(project: Path) -> None:
    (project / "test_own.py").write_text(
        "import os, signal\n\ndef test_own(backcheck_engine):\n"
        "    os.kill(backcheck_engine().process.pid, signal.SIGABRT)\n"
    )
    finished = run_pytest(project, "-q")
    assert finished.returncode == 1
    assert "backcheck-engine was killed by SIGABRT" in finished.stdout
