"""Every command of the command line but `run`, each option of it: what it prints, writes and returns."""

import builtins
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backcheck.cli import main
from backcheck.definition import load_case
from backcheck.running.judgement import Judgement, Record, case_digest
from backcheck.running.results import Results

CASE = """\
\"\"\"{title}.\"\"\"

from backcheck import Case, case


@case(rules=["EVT-01"]{more})
def run(t: Case) -> None:
    t.qmp("stop")
"""
RULES = (
    '[EVT-01]\nsays = "Every event has a time."\nreleases = "all"\nlearned = ["observed"]\n'
    '[BUG-01]\nsays = "It hangs."\nreleases = "qemu<6.0"\nlearned = ["source"]\nwhy = "it hangs"\n'
)
ANSWER = "-> stop\n<- {}\n"
GOLDEN = f"case 001 it-stops\nconfirmed CONFIRMED\n\n{ANSWER}"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two cases, 001 with a golden, as the current one."""
    for name in ("cases", "golden"):
        (tmp_path / name).mkdir()
    (tmp_path / "cases" / "rules.toml").write_text(RULES)
    (tmp_path / "cases" / "001_it_stops.py").write_text(CASE.format(title="It stops", more=', groups=["quick", "vm"]'))
    more = ', formats=["qcow2", "raw"]'
    (tmp_path / "cases" / "007_it_stops_again.py").write_text(CASE.format(title="It stops again", more=more))
    (tmp_path / "golden" / "001.out").write_text(GOLDEN.replace("CONFIRMED", "qemu-7.2"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answered(house: Path) -> Callable[..., None]:
    """Puts a run's answer to case 001 into the results."""

    def answer(implementation: str, text: str = ANSWER, folder: str = "backcheck-results") -> None:
        path = house / "cases" / "001_it_stops.py"
        record = Record(
            number="001",
            slug="it-stops",
            implementation=implementation,
            release=implementation.partition("-")[2] or "10.0",
            format="qcow2",
            judgement=Judgement.PASSED,
            duration_s=0.5,
            answer=text,
            case_digest=case_digest(path),
        )
        Results(house / folder).write_run([record], {})

    return answer


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], ["001", "007"]),
        (["7"], ["007"]),
        (["1-6"], ["001"]),
        (["-g", "vm"], ["001"]),
        (["-g", "vm", "-g", "quick"], ["001"]),
    ],
)
def test_list(house: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], numbers: list[str]) -> None:
    assert main(["list", *arguments]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == numbers
    assert total == f"{len(numbers)} cases"
    assert "It stops" in lines[0]


def test_new_makes_a_case_that_loads_with_the_next_free_number(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "a cancelled backup frees its target's lock."]) == 0
    path = house / "cases" / "008_a_cancelled_backup_frees_its_targets_lock.py"
    definition = load_case(path)
    assert (definition.number, definition.title) == ("008", "A cancelled backup frees its target's lock")
    assert "backcheck review 008" in capsys.readouterr().out
    assert main(["new", "another", "--number", "3"]) == 0
    assert (house / "cases" / "003_another.py").exists()
    assert main(["new", "x", "--number", "7"]) == 2
    assert "007 is taken by 007_it_stops_again.py" in capsys.readouterr().err
    assert main(["new", "..."]) == 2
    assert main(["new", "x", "--number", "x"]) == 2


def test_renumber_moves_a_case_and_its_golden(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["renumber", "1", "12"]) == 0
    assert "001_it_stops.py -> 012_it_stops.py" in capsys.readouterr().out
    assert load_case(house / "cases" / "012_it_stops.py").number == "012"
    assert (house / "golden" / "012.out").read_text().startswith("case 012 it-stops\n")
    assert not (house / "golden" / "001.out").exists()
    assert main(["renumber", "7", "12"]) == 2
    assert main(["renumber", "5", "6"]) == 2
    assert "there is no case 005" in capsys.readouterr().err
    assert main(["renumber", "7", "1000000"]) == 2
    assert main(["renumber", "7", "999999"]) == 0
    assert main(["list", "999999"]) == 0


@pytest.mark.parametrize(
    ("arguments", "shown", "status"),
    [
        ([], ["EVT-01", "BUG-01"], 0),
        (["EVT"], ["EVT-01"], 0),
        (["BUG-01"], ["BUG-01"], 0),
        (["--uncovered"], ["BUG-01"], 0),
        (["--check"], ["EVT-01", "BUG-01"], 1),
        (["NOPE"], [], 2),
    ],
)
def test_rules(
    house: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], shown: list[str], status: int
) -> None:
    (house / "cases" / "limits.toml").write_text("uncovered_rules = 0\n")
    assert main(["rules", *arguments]) == status
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")][:-1] == shown
    assert status == 2 or lines[-1] == "2 rules, 1 without a case"


def test_report(house: Path, answered: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 2
    assert "there are no results" in capsys.readouterr().err
    answered("qemu-7.2")
    answered("engine", folder="elsewhere")
    assert main(["report"]) == 0
    page = (house / "backcheck-results" / "report.html").read_text()
    assert "qemu-7.2" in page
    assert "It stops again" in page
    assert "<script" not in page
    assert main(["report", "--results", "elsewhere", "-o", "page.html"]) == 0
    assert "qemu-7.2</th>" not in (house / "page.html").read_text()
    assert main(["report", "-o", "nowhere/page.html"]) == 2


class TestReview:
    """Goldens are written here, and only what a person accepts."""

    def test_nothing_to_review(self, answered: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["review"]) == 2
        assert "there are no answers in" in capsys.readouterr().err
        answered("qemu-7.2")
        assert main(["review"]) == 0
        assert "nothing to review" in capsys.readouterr().out

    def test_without_a_person_it_shows_and_leaves(
        self, house: Path, answered: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        answered("qemu-10.0")
        before = (house / "golden" / "001.out").read_text()
        assert main(["review", "001"]) == 1
        assert "+confirmed qemu-7.2, qemu-10.0" in capsys.readouterr().out
        assert (house / "golden" / "001.out").read_text() == before

    @pytest.mark.parametrize("option", ["-y", "--accept"])
    def test_accept(self, house: Path, answered: Callable[..., None], option: str) -> None:
        answered("qemu-10.0")
        (house / "backcheck-results" / "001.out.new").write_text("")
        assert main(["review", option]) == 0
        expected = GOLDEN.replace("CONFIRMED", "qemu-7.2, qemu-10.0")
        assert (house / "golden" / "001.out").read_text() == expected
        assert not (house / "backcheck-results" / "001.out.new").exists()

    @pytest.mark.parametrize(
        ("typed", "accepted"), [(["what", "y"], True), (["n"], False), (["q"], False), ([], False)]
    )
    def test_a_person_is_asked(
        self,
        house: Path,
        answered: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        typed: list[str],
        accepted: bool,
    ) -> None:
        answered("qemu-10.0")
        answers = iter(typed)

        def answer(prompt: str) -> str:
            assert "001" in prompt
            try:
                return next(answers)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(builtins, "input", answer)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        assert main(["review"]) == (0 if accepted else 1)
        assert ("qemu-10.0" in (house / "golden" / "001.out").read_text()) is accepted

    def test_without_a_terminal_nobody_is_asked(
        self,
        house: Path,
        answered: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        answered("qemu-10.0")
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
        assert main(["review"]) == 1
        assert "standard input is no terminal: --accept" in capsys.readouterr().out
        assert "qemu-10.0" not in (house / "golden" / "001.out").read_text()

    def test_the_engine_alone_needs_a_reason(
        self, house: Path, answered: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (house / "golden" / "001.out").unlink()
        answered("engine")
        assert main(["review", "-y"]) == 1
        assert "no QEMU confirms it" in capsys.readouterr().out
        assert main(["review", "-y", "--unconfirmed", "no build has it"]) == 0
        assert "unconfirmed: no build has it\n" in (house / "golden" / "001.out").read_text()

    def test_results_are_taken_from_the_folder_that_is_named(self, house: Path, answered: Callable[..., None]) -> None:
        answered("qemu-10.0", folder="elsewhere")
        assert main(["review", "-y"]) == 2
        assert "qemu-10.0" not in (house / "golden" / "001.out").read_text()
        assert main(["review", "-y", "--results", "elsewhere"]) == 0
        assert "qemu-10.0" in (house / "golden" / "001.out").read_text()

    def test_a_case_without_answers_is_a_usage_error(self, house: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["review", "007"]) == 2
        assert "`backcheck run 007` first" in capsys.readouterr().err

    def test_answers_to_another_form_of_the_case_do_not_count(self, house: Path, answered: Callable[..., None]) -> None:
        answered("qemu-10.0")
        path = house / "cases" / "001_it_stops.py"
        path.write_text(path.read_text() + "\n# changed\n")
        assert main(["review", "001"]) == 2

    def test_a_golden_that_cannot_be_read_is_named(
        self, house: Path, answered: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        answered("qemu-10.0")
        (house / "golden" / "001.out").write_text("nonsense\n")
        assert main(["review"]) == 2
        assert "golden/001.out:1: " in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "exit status: 0 all passed" in out
    assert "\nbackcheck 0." in out


@pytest.mark.parametrize(
    ("output", "status", "told"),
    [
        (">/dev/full", 2, "backcheck: standard output: No space left on device\n"),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
    ],
)
@pytest.mark.parametrize("command", ["list", "run 001 --results away"])
def test_no_room_for_words(house: Path, command: str, output: str, status: int, told: str) -> None:
    """An interpreter keeps what it prints until it ends, unless it is told not to."""
    (house / "golden" / "001.out").write_text(GOLDEN.replace("CONFIRMED", "engine"))
    for unbuffered in ("", "1"):
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m backcheck.cli {command} {output}"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (status, told)


def test_an_interrupt_at_any_time_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backcheck.cli._parser", interrupted)
    assert main(["list"]) == 130


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["list", "--nonsense"], ["new"]])
def test_what_is_no_command_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_options_of_pytest_belong_to_run(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--", "-x"]) == 2
    assert "'--' is for the options of pytest" in capsys.readouterr().err


def test_elsewhere_than_on_linux_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["list"]) == 2
    assert capsys.readouterr().err == "backcheck: runs on Linux only, this is darwin\n"


def test_two_cases_of_one_number_are_named(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "cases" / "001_twin.py").write_text(CASE.format(title="Twin", more=""))
    assert main(["list"]) == 2
    assert "001_it_stops.py and 001_twin.py have the same number" in capsys.readouterr().err
