"""How the run of a case ends: its outcome, its reason, its evidence."""

import math
from dataclasses import replace
from pathlib import Path

from backcheck.case import Case
from backcheck.definition import CaseDefinition, load_case
from backcheck.implementation import Implementation
from backcheck.running.result import CaseResult, Outcome
from backcheck.running.runner import run_case
from tests.harness.conftest import RunStory


def lines(result: CaseResult) -> list[str]:
    return result.reason.splitlines()


def test_a_story_that_holds(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.qmp("query-status")

    result = run_story(fake, story)
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")
    assert result.evidence is not None
    assert {path.name for path in result.evidence.iterdir()} == {"command", "conversation.log", "stderr"}


def test_an_expectation_that_does_not_hold_names_the_line(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.expect("the answer", 41, 42)

    result = run_story(fake, story)
    assert result.outcome is Outcome.FAILED
    place = f"{Path(__file__).name}:{story.__code__.co_firstlineno + 1}"
    assert lines(result) == [f"{place}: the answer", "  expected: 42", "       got: 41"]


def test_a_crash(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.qmp("abort")

    result = run_story(fake, story)
    assert result.outcome is Outcome.CRASHED
    assert lines(result)[0] == "fake-machine was killed by SIGABRT"
    assert lines(result)[-1].strip() == "fake-machine: assertion failed"


def test_a_crash_at_the_end(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.exchange("exit", status=3)

    result = run_story(fake, story)
    assert (result.outcome, lines(result)[0]) == (Outcome.CRASHED, "fake-machine ended with status 3")


def test_a_silent_program_hangs(fake: Implementation, run_story: RunStory) -> None:
    def answered(t: Case) -> None:
        t.qmp("query-status")

    def story(t: Case) -> None:
        t.qmp("silence")

    # The limit counts from before the start of the program, which takes as long as it does here and now.
    limit_s = max(1, math.ceil(10 * run_story(fake, answered).duration_s))
    result = run_story(fake, story, timeout_s=limit_s)
    assert result.outcome is Outcome.HUNG
    expected = f"waited {limit_s} s for the case to end; it was waiting for the reply to silence"
    assert lines(result)[0] == f"{Path(__file__).name}:{story.__code__.co_firstlineno + 1}: {expected}"
    assert lines(result)[-1].strip().startswith('-> {"execute": "silence"')


def test_an_event_that_does_not_come(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.wait_event("STOP", seconds=0.1)

    result = run_story(fake, story)
    assert result.outcome is Outcome.HUNG
    assert "waited 0.1 s for the event STOP" in lines(result)[0]


def test_a_case_that_misuses_the_api_is_told_how_to_use_it(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        t.qmp("query-status")
        t.start("-object", "throttle-group,id=tg0")

    result = run_story(fake, story)
    assert result.outcome is Outcome.BROKEN
    place = f"{Path(__file__).name}:{story.__code__.co_firstlineno + 2}"
    assert lines(result)[0].startswith(f"{place}: the machine has started: add drives before")


def test_a_bug_in_a_case(fake: Implementation, run_story: RunStory) -> None:
    def story(t: Case) -> None:
        raise ZeroDivisionError("oops")

    result = run_story(fake, story)
    place = f"{Path(__file__).name}:{story.__code__.co_firstlineno + 1}"
    assert (result.outcome, result.reason) == (Outcome.BROKEN, f"{place}: ZeroDivisionError: oops")
    assert result.evidence is not None
    assert "ZeroDivisionError" in (result.evidence / "traceback").read_text()


def test_no_program_survives_a_failed_case(fake: Implementation, run_story: RunStory) -> None:
    pids: list[int] = []

    def story(t: Case) -> None:
        t.qmp("query-status")
        process = t._session.machine.process
        assert process is not None
        pids.append(process.pid)
        t.expect("the answer", 41, 42)

    assert run_story(fake, story).outcome is Outcome.FAILED
    assert not Path(f"/proc/{pids[0]}").exists()


def definition(folder: Path, decorator: str) -> CaseDefinition:
    path = folder / "900_a_promise.py"
    path.write_text(
        f'"""A promise."""\nfrom backcheck import Case, case\n@case(rules=["EVT-02"], {decorator})\n'
        "def run(t: Case) -> None:\n    t.qmp('query-status')\n"
    )
    return load_case(path)


def run_in(tmp_path: Path, decorator: str, implementation: Implementation, format_name: str = "qcow2") -> CaseResult:
    folder = tmp_path / "run"
    folder.mkdir()
    return run_case(definition(tmp_path, decorator), implementation, format_name, folder)


def test_skips_say_why(fake: Implementation, tmp_path: Path) -> None:
    result = run_in(tmp_path, 'not_on={"qemu<8.0": "BUG-01 freezes it"}', fake)
    assert (result.outcome, result.reason, result.evidence) == (Outcome.SKIPPED, "BUG-01 freezes it", None)


def test_a_reason_for_another_release_skips_nothing(fake: Implementation, tmp_path: Path) -> None:
    newer = replace(fake, version="8.2.0")
    assert run_in(tmp_path, 'not_on={"qemu<8.0": "BUG-01"}', newer).outcome is Outcome.PASSED


def test_formats_a_case_does_not_name(fake: Implementation, tmp_path: Path) -> None:
    result = run_in(tmp_path, 'formats=["raw"]', fake)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "runs on raw sources")


def test_a_wrong_guard_is_the_case_s_fault(fake: Implementation, tmp_path: Path) -> None:
    result = run_in(tmp_path, 'not_on={"qemu~7": "x"}', fake)
    assert result.outcome is Outcome.BROKEN
    assert "'qemu~7' is not a condition" in result.reason


def test_what_a_build_lacks(qemu: Implementation, tmp_path: Path) -> None:
    result = run_in(tmp_path, 'requires=["driver:qcow2", "driver:nosuch"]', qemu)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, f"{qemu.name} lacks the driver nosuch")


def test_an_unknown_capability(qemu: Implementation, tmp_path: Path) -> None:
    result = run_in(tmp_path, 'requires=["driver"]', qemu)
    assert result.outcome is Outcome.BROKEN
    assert "'driver' is no capability; there are zstd, nbd-server, " in result.reason
