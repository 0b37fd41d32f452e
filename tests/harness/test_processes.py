"""Programs are started, awaited, killed, and none survives; a bundled one is a program like any other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backcheck.errors import CaseTimeout
from backcheck.implementation import ENGINE_IMG, ENGINE_IO, ENGINE_SYSTEM, Program
from backcheck.programs import processes
from backcheck.programs.keeper import child_pids
from backcheck.programs.processes import Finished, run_to_end

WITNESS = Path(__file__).with_name("witness_program.py")
PATIENCE_S = 30


def run_cold(folder: Path, *arguments: str) -> Finished:
    argv = [sys.executable, str(WITNESS), *arguments]
    return run_to_end("witness", argv, cwd=folder, env={**os.environ, "WITNESS": "seen"})


def run_forked(folder: Path, *arguments: str) -> Finished:
    argv = ["witness", *arguments]
    env = {**os.environ, "WITNESS": "seen"}
    return run_to_end("witness", argv, cwd=folder, env=env, module="tests.harness.witness_program")


def test_forked_program_sees_what_a_cold_one_sees(tmp_path: Path) -> None:
    cold, forked = run_cold(tmp_path, "tell", "a b", "ü"), run_forked(tmp_path, "tell", "a b", "ü")
    assert (cold.status, cold.stderr) == (forked.status, forked.stderr) == (0, "")
    facts = json.loads(forked.stdout)
    assert facts == json.loads(cold.stdout)
    assert facts["arguments"] == ["tell", "a b", "ü"]
    assert facts["folder"] == str(tmp_path)
    assert facts["variable"] == "seen"


@pytest.mark.parametrize(
    "arguments",
    [
        ("return", "null"),
        ("return", "0"),
        ("return", "3"),
        ("return", "true"),
        ("return", "256"),
        ("return", "-1"),
        ("return", '"a text"'),
        ("exit", "null"),
        ("exit", "7"),
        ("exit", '"a text"'),
        ("signal", str(int(signal.SIGTERM))),
        ("signal", str(int(signal.SIGABRT))),
        ("late",),
        ("unflushed",),
    ],
    ids=" ".join,
)
def test_forked_program_ends_as_a_cold_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run_forked(tmp_path, *arguments) == run_cold(tmp_path, *arguments)


@pytest.mark.parametrize("word", ["raise", "interrupt"])
def test_uncaught_exceptions_end_alike(tmp_path: Path, word: str) -> None:
    cold, forked = run_cold(tmp_path, word), run_forked(tmp_path, word)
    assert forked.status == cold.status
    assert forked.stdout == cold.stdout == ""
    assert forked.stderr.splitlines()[-1] == cold.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (ENGINE_SYSTEM, ["--version"]),
        (ENGINE_SYSTEM, ["-nonsense"]),
        (ENGINE_IMG, ["create", "-f", "qcow2", "disk.img", "1M"]),
        (ENGINE_IMG, ["nonsense"]),
        (ENGINE_IO, ["-c", "read 0 1k", "nothing"]),
    ],
    ids=lambda value: value.name if isinstance(value, Program) else " ".join(value),
)
def test_bundled_programs_do_the_same_cold_and_forked(tmp_path: Path, program: Program, arguments: list[str]) -> None:
    ends = []
    for argv, module in (([*program.argv, *arguments], None), program.command(arguments)):
        folder = tmp_path / str(module)
        folder.mkdir()
        ends.append(run_to_end(program.name, argv, cwd=folder, env=dict(os.environ), module=module))
    assert ends[0] == ends[1]


def test_program_that_is_not_there(tmp_path: Path) -> None:
    finished = run_to_end("nothing", ["/no/such/program"], cwd=tmp_path, env=dict(os.environ))
    assert finished.status == 127
    assert "No such file or directory" in finished.stderr


def test_program_that_does_not_end(tmp_path: Path) -> None:
    with pytest.raises(CaseTimeout, match="sleep 1000 to end"):
        run_to_end("sleep", ["sleep", "1000"], cwd=tmp_path, env=dict(os.environ), timeout_s=0.1)


def test_kill_ends_everything_the_program_started(tmp_path: Path) -> None:
    with open(os.devnull, "r+b") as null, (tmp_path / "pid").open("w+b") as stdout:
        script = "sleep 1000 & echo $!; wait"
        process = processes.start(
            "sh",
            ["sh", "-c", script],
            cwd=tmp_path,
            env=dict(os.environ),
            descriptors={0: null.fileno(), 1: stdout.fileno(), 2: null.fileno()},
        )
        wait_for_content(tmp_path / "pid")
        child = int((tmp_path / "pid").read_text())
        process.kill()
        assert process.exit_status == -signal.SIGKILL
        assert process.describe_end() == "sh was killed by SIGKILL"
        assert is_gone(child)


HARNESS_THAT_DIES = """
import os, signal, sys
from pathlib import Path
from backcheck.programs import processes
null = open(os.devnull, "r+b")
for script in sys.argv[1:]:
    out = open(f"pid{sys.argv.index(script)}", "wb")
    processes.start("sh", ["sh", "-c", script], cwd=Path.cwd(), env=dict(os.environ),
                    descriptors={0: null.fileno(), 1: out.fileno(), 2: null.fileno()})
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_survives_a_killed_harness(tmp_path: Path) -> None:
    scripts = ["echo $$; exec sleep 1000", "setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000"]
    harness = subprocess.Popen(
        [sys.executable, "-c", HARNESS_THAT_DIES, *scripts], stdin=subprocess.PIPE, cwd=tmp_path, text=True
    )
    for number in (1, 2):
        wait_for_content(tmp_path / f"pid{number}")
    survivors = [int((tmp_path / f"pid{number}").read_text()) for number in (1, 2)]
    (keeper,) = child_pids(harness.pid)
    harness.communicate("die\n", PATIENCE_S)
    assert harness.returncode == -signal.SIGKILL
    assert all(is_gone(pid) for pid in [*survivors, keeper])


def wait_for_content(path: Path) -> None:
    """Watches a file until a whole line is in it."""
    for _ in poll():
        if path.exists() and path.read_text().endswith("\n"):
            return
    raise AssertionError(f"{path} stays empty")


def is_gone(pid: int) -> bool:
    """Whether a process ends, within patience; a zombie has ended."""
    for _ in poll():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
    return False


def poll() -> Iterator[None]:
    """Lets a test look again and again until patience ends."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        yield
        os.sched_yield()
