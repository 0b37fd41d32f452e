"""A house of its own for each test: small cases, their goldens, and programs that are wrong on purpose."""

import atexit
import functools
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from backcheck.programs.processes import KeeperClient

BROKEN_QEMU = Path(__file__).with_name("broken_qemu.py")
RULES = '[META-01]\nsays = "A machine has a name."\nreleases = "all"\nlearned = ["observed"]\n'
DEADLINE_S = 100
LEAST_LIMIT_S = 1.0
SLOWNESS = 10
LINE = re.compile(r"^(?P<id>\d{3}\[\S+\]) +(?P<word>not run|\w+)", re.MULTILINE)

CASE = '''\
"""{title}."""

from backcheck import Case, case


@case(rules=["META-01"], {arguments})
def run(t: Case) -> None:
    t.step("what is it called?")
    {body}
'''
ASK = 't.qmp("query-name")'
GOLDEN = """\
case {number} {slug}
confirmed qemu-9.1, qemu-10.0

== what is it called?
-> query-name
<- name=vm
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a `backcheck` came to."""

    status: int
    out: str

    def line(self, text: str) -> str:
        """The first line that has this text in it."""
        return next(line for line in self.out.splitlines() if text in line)

    def judgements(self) -> dict[str, str]:
        """The word on each case's line, by id."""
        return {match["id"]: match["word"] for match in LINE.finditer(self.out)}

    def about(self, id: str) -> str:
        """The lines of a case: its own and those that are indented below it."""
        lines = self.out.splitlines()
        place = next(place for place, line in enumerate(lines) if line.startswith(f"{id} "))
        below = itertools.takewhile(lambda line: line.startswith(" "), lines[place + 1 :])
        return "\n".join([lines[place], *below])


@functools.cache
def loaded() -> KeeperClient:
    """A process that has imported Backcheck: to start an interpreter for each run takes longer than the runs."""
    client = KeeperClient()
    client.send({"kind": "load", "path": sys.path, "package": "backcheck"})
    atexit.register(client.close)
    return client


class House:
    """A folder with cases/, golden/ and bin/, in which backcheck is run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("cases", "golden", "bin"):
            (root / name).mkdir()
        (root / "cases" / "rules.toml").write_text(RULES)

    def case(
        self, number: str, slug: str = "its_name", body: str = ASK, *, golden: bool = True, arguments: str = ""
    ) -> Path:
        """A case, and a golden for one that asks for the name."""
        path = self.root / "cases" / f"{number}_{slug}.py"
        path.write_text(CASE.format(title=slug.replace("_", " ").capitalize(), body=body, arguments=arguments))
        if golden:
            self.golden(number, GOLDEN.format(number=number, slug=slug.replace("_", "-")))
        return path

    def golden(self, number: str, text: str) -> Path:
        path = self.root / "golden" / f"{number}.out"
        path.write_text(text)
        return path

    def program(self, behaviour: str) -> str:
        """The path of a program that behaves so: `good`, `crashes-9.1`; see broken_qemu.py."""
        for name in ("qemu-img", "qemu-io", f"qemu-system-{behaviour}"):
            path = self.root / "bin" / name
            path.write_text(f"#!{sys.executable} -IS\n{BROKEN_QEMU.read_text()}")
            path.chmod(0o755)
        return str(path)

    def start(self, *arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        """Starts `backcheck ARGUMENTS` in the house."""
        return subprocess.Popen(
            [sys.executable, "-m", "backcheck.cli", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONWARNINGS": "", **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def backcheck(self, *arguments: str, **environment: str) -> Finished:
        """Runs `backcheck ARGUMENTS` to its end, in a process that is forked from a loaded one."""
        with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile() as out:
            process = loaded().start(
                "backcheck",
                ["backcheck", *arguments],
                module="backcheck.cli",
                env={**os.environ, "PYTHONWARNINGS": "", **environment},
                cwd=self.root,
                descriptors={0: nothing.fileno(), 1: out.fileno(), 2: out.fileno()},
            )
            status = process.wait(DEADLINE_S)
            process.kill()
            out.seek(0)
            text = out.read().decode()
        assert status is not None, f"backcheck {' '.join(arguments)} takes longer than {DEADLINE_S} s:\n{text}"
        return Finished(status=status, out=text)

    def run(self, *arguments: str, on: str = "good", **environment: str) -> Finished:
        """`backcheck run --on PROGRAM ARGUMENTS`."""
        return self.backcheck("run", "--on", self.program(on), *arguments, **environment)

    @property
    def results(self) -> Path:
        return self.root / "backcheck-results"

    def records(self) -> list[dict[str, object]]:
        """results.jsonl without its last line."""
        return [json.loads(line) for line in (self.results / "results.jsonl").read_text().splitlines()[:-1]]

    def limit(self) -> str:
        """A value of `--timeout` that only what hangs exceeds: many times what cases took in the last run."""
        slowest = max(float(str(record["duration_s"])) for record in self.records())
        return f"{max(LEAST_LIMIT_S, SLOWNESS * slowest):.1f}"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(params=["1", "2"], ids=["serial", "xdist"])
def workers(request: pytest.FixtureRequest) -> str:
    """The value of `-n`: each option is tested both ways."""
    return str(request.param)
