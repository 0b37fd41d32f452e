"""Each option of `backcheck run`, one test an option, run serially and under xdist."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.meta.conftest import House


@pytest.fixture
def three(house: House) -> House:
    """Three cases: 001 on both formats, 002 in a group, 010 with a slug of its own."""
    house.case("001", arguments='formats=["qcow2", "raw"]')
    house.case("002", arguments='groups=["quick", "name"]')
    house.case("010", slug="its_other_name", arguments='groups=["name"]')
    return house


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        ([], ["001", "001", "002", "010"]),
        (["002-010"], ["002", "010"]),
        (["-g", "quick"], ["002"]),
        (["-g", "quick", "-g", "name", "002", "001"], ["002"]),
        (["-qcow2", "-raw", "1"], ["001", "001"]),
    ],
)
def test_numbers_groups_and_formats_select(three: House, arguments: list[str], ran: list[str]) -> None:
    finished = three.run(*arguments)
    assert sorted(id[:3] for id in finished.judgements()) == ran
    assert finished.status == 0


def test_selection_under_xdist(three: House) -> None:
    finished = three.run("2-10", "-g", "name", "-qcow2", "-n", "2")
    assert finished.judgements() == {"002[qemu-10.0-qcow2]": "pass", "010[qemu-10.0-qcow2]": "pass"}
    assert finished.status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["003"], "there is no case 003"),
        (["500-600"], "there are no cases 500-600"),
        (["10-2"], "there are no cases 10-2: a range is from the lower to the higher"),
        (["x"], "'x' is neither the number of a case"),
        (["-g", "nope"], "no case is in the group nope; there are name, quick"),
        (["002", "-raw"], "nothing to run: no case is all of what was selected"),
        (["--on", "nope"], "nope: no such implementation"),
        (["--on", "/bin/true"], "tells no version of QEMU"),
        (["-n", "many"], "-n many"),
        (["--timeout", "0"], "a time limit of 0 s is none"),
        (["--timeout", "nan"], "a time limit of nan s is none"),
        (["--timeout", "inf"], "a time limit of inf s is none"),
        (["--wrapper", "gdb 'x"], "--wrapper gdb 'x: no closing quotation"),
        (["--wrapper", "no-such --args"], "--wrapper no-such --args: there is no program no-such"),
        (["--timeout", "x"], "argument --timeout: invalid float value: 'x'"),
        (["--expect-fail", "nowhere"], "nowhere"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(three: House, arguments: list[str], told: str) -> None:
    temporary = three.root / "tmp"
    temporary.mkdir()
    finished = three.run(*arguments, TMPDIR=str(temporary))
    assert finished.status == 2, finished.out
    assert told in finished.out
    assert "Traceback" not in finished.out
    assert not list(temporary.iterdir())


def test_on_several_implementations_says_who_is_wrong(three: House, workers: str) -> None:
    programs = [argument for name in ("differs", "good-9.1") for argument in ("--on", three.program(name))]
    finished = three.backcheck("run", *programs, "002", "-n", workers)
    assert finished.judgements() == {"002[qemu-10.0-qcow2]": "fail", "002[qemu-9.1-qcow2]": "pass"}
    assert finished.line("002: ") == "002: qemu-10.0 alone differs; qemu-9.1 agrees with the golden"
    assert finished.status == 1


def test_all_against_the_golden_make_it_stale(three: House, workers: str) -> None:
    programs = [argument for name in ("differs", "differs-9.1") for argument in ("--on", three.program(name))]
    finished = three.backcheck("run", *programs, "002", "-n", workers)
    assert finished.line("002: ") == "002: the golden is stale: qemu-10.0 and qemu-9.1 all agree against it"


def test_a_release_that_is_not_confirmed_is_compared_and_named(three: House) -> None:
    assert three.run("002", on="good-9.2").status == 0
    assert "unconfirmed release qemu-9.2" in three.run("002", on="differs-9.2").out


def test_two_builds_of_one_release_are_refused(three: House) -> None:
    finished = three.backcheck("run", "--on", three.program("good"), "--on", three.program("differs"))
    assert finished.status == 2
    assert "is a qemu-10.0, as" in finished.out


def test_skip_missing_names_what_is_not_there(three: House, workers: str) -> None:
    finished = three.run("002", "--on", "qemu-4.1", "--skip-missing", "-n", workers)
    assert finished.status == 0
    assert finished.line("Not run: all on qemu-4.1: ")
    assert finished.line("Passed all 1 that ran in ")
    alone = three.backcheck("run", "--on", "qemu-4.1", "--skip-missing")
    assert alone.status == 2


def test_results_go_to_the_folder_that_is_named(three: House, workers: str) -> None:
    finished = three.run("002", "--results", "elsewhere/x", "-n", workers)
    assert finished.status == 0
    assert not three.results.exists()
    folder = three.root / "elsewhere" / "x"
    *records, whole = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [(record["id"], record["judgement"]) for record in records] == [("002[qemu-10.0-qcow2]", "passed")]
    assert whole["counts"] == {"passed": 1}
    assert "(last: " not in finished.out


def test_the_last_time_stands_beside_each_case(three: House) -> None:
    three.run("002", "--results", "x")
    assert "(last: " in three.run("002", "--results", "x").line("002[")


def test_results_that_cannot_be_written_are_told(three: House) -> None:
    (three.root / "file").write_text("")
    finished = three.run("002", "--results", "file/x")
    assert finished.status == 2
    assert "results cannot be written" in finished.out
    assert "Traceback" not in finished.out


def test_timeout_ends_a_case_that_hangs(three: House, workers: str) -> None:
    three.run("002")
    finished = three.run("002", "--timeout", three.limit(), "-n", workers, on="hangs")
    assert finished.judgements() == {"002[qemu-10.0-qcow2]": "hung"}
    assert finished.status == 3


def test_wrapper_stands_before_the_program(three: House, workers: str) -> None:
    wrapper = three.root / "bin" / "wrap"
    wrapper.write_text('#!/bin/sh\necho "$@" >> "$WRAPPED"\nexec "$@"\n')
    wrapper.chmod(0o755)
    log = three.root / "wrapped"
    given = f"{wrapper} env"
    assert three.run("002", "--wrapper", given, "-n", workers, WRAPPED=str(log)).status == 0
    assert log.read_text().startswith(f"env {three.root}/bin/qemu-system-good ")


def test_expect_fail_turns_known_failures_into_expected_ones(three: House, workers: str) -> None:
    (three.root / "known").write_text("# a comment\n002[qemu-10.0]  fixed by the next release\n002[qemu-9.1-qcow2]\n")
    programs = [argument for name in ("differs", "good-9.1") for argument in ("--on", three.program(name))]
    finished = three.backcheck("run", "002", *programs, "--expect-fail", "known", "-n", workers)
    assert finished.judgements() == {"002[qemu-10.0-qcow2]": "xfail", "002[qemu-9.1-qcow2]": "xpass"}
    assert "fixed by the next release" in finished.about("002[qemu-10.0-qcow2]")
    assert finished.status == 1


def test_known_failures_alone_are_success(three: House) -> None:
    (three.root / "known").write_text("002\n")
    assert three.run("002", "--expect-fail", "known", on="differs").status == 0


@pytest.mark.parametrize("line", ["nonsense", "[qemu-7.2]", "002[]", "003 there is none"])
def test_a_line_of_expected_failures_that_is_none_is_named(three: House, line: str) -> None:
    (three.root / "known").write_text(f"\n{line}\n")
    finished = three.run("002", "--expect-fail", "known")
    assert finished.status == 2
    assert "known:2:" in finished.out


def test_options_of_pytest_carry_through(three: House, workers: str) -> None:
    finished = three.run("-n", workers, "--", "--junitxml=out.xml", "-k", "001 or 010", on="differs")
    assert len(finished.judgements()) == 3
    cases = ElementTree.parse(three.root / "out.xml").getroot().findall(".//testcase")
    assert {case.get("name") for case in cases} == {
        "001[qemu-10.0-qcow2]",
        "001[qemu-10.0-raw]",
        "010[qemu-10.0-qcow2]",
    }
    failure = cases[0].find("failure")
    assert failure is not None
    assert "+ <- name=other" in (failure.text or "")
    properties = {each.get("name"): each.get("value") for each in cases[0].iter("property")}
    assert properties["rules"] == "META-01"


def test_the_last_of_two_worker_counts_wins(three: House) -> None:
    worker = three.root / "worker"
    three.case("002", body=f"import sys; open({str(worker)!r}, 'w').write(str('execnet' in sys.modules))")
    three.run("002", "-n", "2", "-n", "1")
    assert worker.read_text() == "False"


def test_the_end_of_a_run_reads_as_iotests_does(three: House, workers: str) -> None:
    three.case("003", body="pass", arguments='not_on={"qcow2": "trips BUG-02"}', golden=False)
    finished = three.run("1-3", "-n", workers, on="differs")
    end = finished.out[finished.out.index("New goldens") :].splitlines()
    assert end[1:4] == [
        "Not run: 1 on qemu-10.0",
        "    003[qemu-10.0-qcow2]: trips BUG-02",
        "Failures: 001[qemu-10.0-qcow2] 001[qemu-10.0-raw] 002[qemu-10.0-qcow2]",
    ]
    assert end[4].startswith("Passed 0 of 3 (1 not run) in ")


def test_on_a_terminal_the_last_line_tells_what_runs(three: House, workers: str) -> None:
    ours, theirs = pty.openpty()
    with three.start("run", "--on", three.program("good"), "-n", workers, stdout=theirs, TERM="xterm") as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal whose other end is gone has no end of file
            while data := os.read(ours, 4096):
                shown += data
        os.close(ours)
    assert process.returncode == 0
    assert re.search(rb"\[3/4\] +\d{3}\[qemu-10.0-\w+\]", shown)
    assert b"Passed all 4 in " in shown


def test_more_skips_than_the_limits_allow_fail_a_full_run(three: House, workers: str) -> None:
    (three.root / "cases" / "limits.toml").write_text('[not_run]\n"qemu-10.0" = 0\n')
    three.case("003", body="pass", arguments='not_on={"qcow2": "trips BUG-02"}', golden=False)
    finished = three.run("-n", workers)
    assert "Error: 1 cases were not run on qemu-10.0, cases/limits.toml allows 0" in finished.out
    assert finished.status == 1


def test_a_guard_that_nobody_needs_fails_a_run_on_all_that_confirmed(three: House, workers: str) -> None:
    golden = three.root / "golden" / "002.out"
    golden.write_text(golden.read_text().replace("<- name=vm", "[qemu>=9.0] <- name=vm"))
    programs = [argument for name in ("good", "good-9.1") for argument in ("--on", three.program(name))]
    finished = three.backcheck("run", *programs, "-n", workers)
    assert finished.status == 1
    assert "Error: golden/002.out: the guard is no longer needed: [qemu>=9.0] <- name=vm" in finished.out


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
def test_an_interrupt_leaves_no_process_and_no_folder(three: House, workers: str, group: bool) -> None:
    program = three.program("hangs")
    temporary = three.root / "tmp"
    temporary.mkdir()
    with three.start("run", "--on", program, "-n", workers, TMPDIR=str(temporary)) as process:
        if _wait_for_conversation(program, process):
            (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 130, out
    assert not _running(program)
    assert not list(temporary.glob("bc-*"))


def _wait_for_conversation(program: str, process: subprocess.Popen[str]) -> bool:
    """Waits until a program runs as a monitor's peer; False when the process that is to start it has ended."""
    while process.poll() is None:
        if any("chardev" in line for line in _running(program)):
            return True
        time.sleep(0.05)
    return False


def _running(program: str) -> list[str]:
    """Command lines of processes that run a program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile
    return [line for line in found if program in line and "--on" not in line]
