"""Judging: a result and the golden on disk become a record."""

from dataclasses import replace
from pathlib import Path

import pytest

from backcheck.definition import CaseDefinition, load_case
from backcheck.golden.grammar import parse_line
from backcheck.running.judgement import Judgement, judge
from backcheck.running.result import CaseResult, Outcome
from backcheck.transcript import Step, Transcript

CASE = """\
\"\"\"It stops.\"\"\"

from backcheck import case


@case(rules=["EVT-01"], not_on={"qemu<6.0": "why"})
def run(t):
    pass
"""
GOLDEN = "case 001 it-stops\nconfirmed qemu-7.2\nnot [qemu<6.0]: why\n\n-> stop\n<- {}\n"


@pytest.fixture
def definition(tmp_path: Path) -> CaseDefinition:
    path = tmp_path / "cases" / "001_it_stops.py"
    path.parent.mkdir()
    path.write_text(CASE)
    (tmp_path / "golden").mkdir()
    return load_case(path)


def result(*lines: str, outcome: Outcome = Outcome.PASSED, implementation: str = "qemu-7.2") -> CaseResult:
    entries = [replace(entry, at=at) for at, line in enumerate(lines, 1) for entry in parse_line(line).entries]
    return CaseResult(
        number="001",
        implementation=implementation,
        release=implementation.partition("-")[2] or "10.0",
        format="qcow2",
        outcome=outcome,
        transcript=Transcript(steps=[Step(title=None, entries=entries)]),
        duration_s=0.1,
        reason="" if outcome is Outcome.PASSED else "because",
    )


@pytest.mark.parametrize(
    ("golden", "lines", "judgement", "reason"),
    [
        (GOLDEN, ["-> stop", "<- {}"], Judgement.PASSED, ""),
        (GOLDEN, ["-> stop", "<- []"], Judgement.DIFFERS, "the answer differs from golden/001.out"),
        (None, ["-> stop", "<- {}"], Judgement.NO_GOLDEN, "there is no golden yet"),
        (GOLDEN.replace("it-stops", "x"), ["-> stop", "<- {}"], Judgement.DIFFERS, "is of case 001 x, not of"),
        (GOLDEN.replace("why", "x"), ["-> stop", "<- {}"], Judgement.DIFFERS, "`not` lines"),
        (GOLDEN.replace("<- {}", "{}"), ["-> stop", "<- {}"], Judgement.BROKEN, "golden/001.out:6: "),
        (GOLDEN, ["-> stop", "<- timestamp=5"], Judgement.FAILED, "timestamp"),
    ],
)
def test_a_case_that_came_to_its_end(
    definition: CaseDefinition, tmp_path: Path, golden: str | None, lines: list[str], judgement: Judgement, reason: str
) -> None:
    if golden is not None:
        (tmp_path / "golden" / "001.out").write_text(golden)
    record = judge(definition, result(*lines), tmp_path / "golden")
    assert record.judgement is judgement
    assert reason in record.reason
    assert bool(record.difference) is (record.reason == "the answer differs from golden/001.out")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.PASSED])
def test_a_case_that_did_not_is_not_compared(definition: CaseDefinition, tmp_path: Path, outcome: Outcome) -> None:
    (tmp_path / "golden" / "001.out").write_text(GOLDEN)
    record = judge(definition, result("-> stop", "<- []", outcome=outcome), tmp_path / "golden")
    assert (record.judgement.name, record.reason, record.answer) == (outcome.name, "because", None)
    assert record.judgement.good is (outcome is Outcome.SKIPPED)


@pytest.mark.parametrize(("name", "unconfirmed"), [("qemu-8.2", True), ("qemu-7.2", False), ("engine", False)])
def test_a_release_that_is_not_listed_is_compared_and_named(
    definition: CaseDefinition, tmp_path: Path, name: str, unconfirmed: bool
) -> None:
    (tmp_path / "golden" / "001.out").write_text(GOLDEN)
    record = judge(definition, result("-> stop", "<- []", implementation=name), tmp_path / "golden")
    assert record.reason.startswith(f"unconfirmed release {name}: ") is unconfirmed
    assert record.difference == ("  (before the first step)", "  -> stop", "- <- {}", "+ <- []")
