"""Small cases that must pass, fail, skip, crash and hang: what each is called, and the exit status of the run."""

from collections.abc import Iterable

import pytest

from backcheck.report.terminal import SCREEN, SHOWN_AGAIN
from tests.meta.conftest import Finished, House

# How a program behaves -> what its case is called, and what is told. Each is of a release of its own, to be told apart.
BEHAVIOURS = {
    "good-9.1": ("pass", ""),
    "differs-9.2": ("fail", "+ <- name=other"),
    "crashes-8.0": ("crash", "was killed by SIGABRT"),
    "exits-8.1": ("crash", "ended with status 3"),
    "refuses-7.1": ("crash", "this build has no character devices"),
    "garbles-7.2": ("crash", "nonsense"),
}
HANGS = {
    "hangs-8.2": ("hung", "query-name"),
    "silent-7.0": ("hung", "greet"),
    "lingers-6.0": ("hung", "the end of case 001"),
}

# The body of a case and the arguments of @case -> what it is called, and what is told.
BODIES = {
    't.expect("name", t.qmp("query-name"), {"name": "vm"})': ("", "pass", ""),
    't.expect("name", t.qmp("query-name"), {"name": "x"})': ("", "fail", 'expected: {"name": "x"}'),
    't.qmp("query-name", "wrong")': ("", "broken", ".py:9: "),
    "1 / 0": ("", "broken", "ZeroDivisionError"),
    't.poll(lambda: False, "what never comes", seconds=0.2)': ("", "hung", "waited 0.2 s for what never comes"),
    "while True: pass": ("timeout_s=0.1", "hung", "the end of case"),
    "pass": ('not_on={"qemu>=10.0": "trips BUG-02"}', "not run", "trips BUG-02"),
    "pass  # and the build lacks a command": ('requires=["command:nope"]', "not run", "nope"),
    "pass  # and a guard is wrong": ('not_on={"nonsense": "why"}', "broken", "'nonsense' is not a condition"),
}


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One case, run on everything that misbehaves and comes to an end."""
    house = House(tmp_path_factory.mktemp("misbehaving"))
    house.case("001")
    return house.backcheck("run", *on(house, BEHAVIOURS))


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One case, run on what does not come to an end."""
    house = House(tmp_path_factory.mktemp("hanging"))
    house.case("001")
    house.run()
    return house.backcheck("run", "--timeout", house.limit(), *on(house, HANGS))


def on(house: House, behaviours: Iterable[str]) -> list[str]:
    """The options that ask for these programs."""
    return [argument for name in behaviours for argument in ("--on", house.program(name))]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Many cases, run on what behaves."""
    house = House(tmp_path_factory.mktemp("many"))
    for number, (body, (arguments, _, _)) in enumerate(BODIES.items(), 101):
        house.case(str(number), body=body, arguments=arguments)
    return house.run()


@pytest.mark.parametrize("behaviour", [*BEHAVIOURS, *HANGS])
def test_an_implementation_that_misbehaves_has_a_verdict(
    misbehaving: Finished, hanging: Finished, behaviour: str
) -> None:
    word, told = (BEHAVIOURS | HANGS)[behaviour]
    finished = hanging if behaviour in HANGS else misbehaving
    id = f"001[qemu-{behaviour.partition('-')[2]}-qcow2]"
    assert finished.judgements()[id] == word, finished.out
    assert told in finished.about(id)


def test_crashes_and_hangs_have_an_exit_status_of_their_own(
    misbehaving: Finished, hanging: Finished, many: Finished
) -> None:
    assert (misbehaving.status, hanging.status, many.status) == (3, 3, 3)
    assert "Traceback" not in misbehaving.out + hanging.out + many.out


@pytest.mark.parametrize(("number", "body"), list(enumerate(BODIES, 101)))
def test_a_case_ends_as_it_must(many: Finished, number: int, body: str) -> None:
    _, word, told = BODIES[body]
    id = f"{number}[qemu-10.0-qcow2]"
    assert many.judgements()[id] == word, many.out
    assert told in many.about(id)


def test_the_first_failures_of_a_long_run_are_shown_again_at_its_end(house: House) -> None:
    wrong = list(range(1, SHOWN_AGAIN + 3))
    for number in wrong:
        house.case(f"{number:03}", body="1 / 0")
    for number in range(SCREEN):
        house.case(str(200 + number), arguments='not_on={"qemu>=10.0": "it is quick so"}')
    finished = house.run()
    end = finished.out[finished.out.index("239[") :]
    shown = [line for line in end.splitlines() if line.startswith("Once more: ")]
    assert shown == [f"Once more: {number:03}[qemu-10.0-qcow2]" for number in wrong[:SHOWN_AGAIN]]
    assert end.count("ZeroDivisionError") == SHOWN_AGAIN
    assert "2 more failures are shown further up" in end


def test_a_broken_case_is_no_crash(house: House) -> None:
    house.case("001", body="1 / 0")
    assert house.run().status == 1


def test_a_missing_golden_fails_and_is_proposed(house: House) -> None:
    house.case("001", golden=False)
    finished = house.run()
    assert finished.status == 1
    assert "there is no golden yet" in finished.out
    proposed = (house.results / "001.out.new").read_text()
    assert proposed == "case 001 its-name\nconfirmed qemu-10.0\n\n== what is it called?\n-> query-name\n<- name=vm\n"
    assert not (house.root / "golden" / "001.out").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("case 001 another\nconfirmed\n\n-> query-name\n", "is of case 001 another, not of 001 its-name"),
        ("case 001 its-name\nconfirmed\nnot [raw]: x\n\n", "the `not` lines of golden/001.out are not the case's"),
        ("nonsense\n", "golden/001.out:1: a golden begins"),
    ],
)
def test_a_golden_that_is_not_the_cases_fails(house: House, text: str, told: str) -> None:
    house.case("001")
    house.golden("001", text)
    finished = house.run()
    assert finished.status == 1
    assert told in finished.out


def test_an_unused_golden_fails_a_full_run_only(house: House, workers: str) -> None:
    house.case("001")
    house.golden("002", "case 002 gone\nconfirmed\n\n-> x\n")
    if workers == "1":
        assert house.run("001").status == 0
    finished = house.run("-n", workers)
    assert finished.status == 1
    assert "golden/002.out belongs to no case" in finished.out


def test_a_case_file_that_cannot_be_loaded_is_a_usage_error(house: House, workers: str) -> None:
    house.case("001")
    (house.root / "cases" / "002_broken.py").write_text('"""Broken."""\nimport nothing_of_that_name\n')
    finished = house.run("-n", workers)
    assert finished.status == 2
    assert "002_broken.py: ModuleNotFoundError" in finished.out
    assert "Traceback" not in finished.out


def test_evidence_of_a_failure_is_kept_and_named(house: House, workers: str) -> None:
    house.case("001")
    finished = house.run("-n", workers, on="crashes")
    folder = house.results / "evidence" / "001[qemu-10.0-qcow2]"
    assert f"evidence: {folder}" in finished.out
    assert "query-name" in (folder / "conversation.log").read_text()
    assert "assertion failed" in (folder / "stderr").read_text()
    assert "assertion failed" in finished.out


def test_a_run_never_writes_a_golden(house: House, workers: str) -> None:
    house.case("001")
    before = (house.root / "golden" / "001.out").read_bytes()
    assert house.run("-n", workers, on="differs").status == 1
    assert (house.root / "golden" / "001.out").read_bytes() == before
    assert "<- name=other" in (house.results / "001.out.new").read_text()
    assert house.run("-n", workers).status == 0
    assert not (house.results / "001.out.new").exists()


def test_a_case_whose_worker_dies_is_no_success(house: House) -> None:
    house.case("001", body="import os; os._exit(9)")
    house.case("002")
    finished = house.run("-n", "2")
    assert finished.status == 1
    assert "Error: 001[qemu-10.0-qcow2] came to no verdict" in finished.out
    assert finished.line("Failures: ") == "Failures: 001[qemu-10.0-qcow2]"
    assert "Passed 1 of 2 in" in finished.out
    assert finished.judgements() == {"002[qemu-10.0-qcow2]": "pass"}
