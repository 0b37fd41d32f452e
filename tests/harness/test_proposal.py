"""What golden a case should have: from answers, from the golden there is, and from who may be believed."""

from pathlib import Path

import pytest

from backcheck.definition import CaseDefinition
from backcheck.errors import GoldenError
from backcheck.golden.golden_file import Answer, Golden, parse_golden
from backcheck.golden.guards import Context
from backcheck.golden.proposal import Proposal, propose
from backcheck.running.results import read_answer

SAME = "== x\n-> query-jobs\n<- []\n"
OTHER = "== x\n-> query-jobs\n<- {}\n"


def definition(formats: tuple[str, ...] = ("qcow2",), not_on: dict[str, str] | None = None) -> CaseDefinition:
    return CaseDefinition(
        run=lambda t: None,
        path=Path("cases/001_x.py"),
        number="001",
        slug="x",
        title="X",
        rules=("EVT-01",),
        groups=frozenset(),
        formats=formats,
        requires=(),
        not_on=not_on or {},
        timeout_s=1.0,
        keep_pairs=False,
    )


def answers(**texts: str) -> dict[Context, Answer]:
    """Answers by implementation, as qemu_7_2; `_raw` at the end is on raw."""
    found = {}
    for key, text in texts.items():
        name, format = (key.removesuffix("_raw"), "raw") if key.endswith("_raw") else (key, "qcow2")
        kind, _, release = name.partition("_")
        release = release.replace("_", ".")
        implementation = f"{kind}-{release}" if release else kind
        context = Context(implementation=implementation, release=release or "10.0", format=format)
        found[context] = read_answer(text, "test")
    return found


def golden(confirmed: str, body: str = SAME, more: str = "") -> Golden:
    return parse_golden(f"case 001 x\nconfirmed {confirmed}\n{more}\n{body}", "golden/001.out")


def proposal(case: CaseDefinition, given: dict[Context, Answer], old: Golden | None = None, **more: str) -> Proposal:
    found = propose(case, given, old, **more)
    assert found is not None
    return found


def test_no_answer_no_golden() -> None:
    assert propose(definition(), {}, None) is None


def test_who_answered_confirms_engine_first_then_by_release() -> None:
    found = proposal(definition(), answers(qemu_10_0=SAME, qemu_7_2=SAME, engine=SAME))
    assert found.text == f"case 001 x\nconfirmed engine, qemu-7.2, qemu-10.0\n\n{SAME}"
    assert not found.notes


def test_an_engine_that_a_qemu_contradicts_is_left_out() -> None:
    found = proposal(definition(), answers(qemu_10_0=SAME, engine=OTHER))
    assert found.golden.header.confirmed == ("qemu-10.0",)
    assert found.text.endswith(SAME)
    assert found.notes == ("engine-qcow2 is left out: qemu-10.0-qcow2 answers otherwise, and counts",)


def test_an_engine_without_a_rival_of_its_release_gets_a_guard_of_its_own() -> None:
    found = proposal(definition(), answers(qemu_7_2=SAME, engine=OTHER))
    assert "[qemu<10.0] <- []\n[qemu>=10.0] <- {}" in found.text


def test_another_build_of_a_release_confirms_nothing_and_contradicts_nobody() -> None:
    given = {
        Context(implementation=name, release="10.0", format="qcow2"): read_answer(text, "test")
        for name, text in (("qemu-10.0", SAME), ("qemu-10.0b", OTHER))
    }
    found = proposal(definition(), given)
    assert found.golden.header.confirmed == ("qemu-10.0",)
    assert found.text.endswith(SAME)


def test_the_engine_alone_needs_a_reason() -> None:
    found = proposal(definition(), answers(engine=SAME))
    assert found.only_engine
    assert found.golden.header.unconfirmed is None
    with_reason = proposal(definition(), answers(engine=SAME), unconfirmed="no build has it")
    assert "unconfirmed: no build has it\n" in with_reason.text
    kept = proposal(definition(), answers(engine=SAME), golden("engine", OTHER, "unconfirmed: because\n"))
    assert kept.golden.header.unconfirmed == "because"
    confirmed = proposal(definition(), answers(engine=SAME, qemu_7_2=SAME), golden("engine", SAME, "unconfirmed: b\n"))
    assert confirmed.golden.header.unconfirmed is None


def test_who_confirmed_and_did_not_run_stays_while_the_case_is_the_same() -> None:
    old = golden("qemu-5.2, qemu-7.2", "== x\n-> query-jobs\n[qemu<6.0] <- {}\n[qemu>=6.0] <- []\n")
    found = proposal(definition(), answers(qemu_7_2=SAME, engine=SAME), old)
    assert found.golden.header.confirmed == ("engine", "qemu-5.2", "qemu-7.2")
    assert "[qemu<6.0] <- {}\n[qemu>=6.0] <- []" in found.text


def test_who_confirmed_and_did_not_run_goes_when_the_case_changed() -> None:
    found = proposal(definition(), answers(qemu_7_2=OTHER), golden("qemu-5.2, qemu-7.2"))
    assert found.golden.header.confirmed == ("qemu-7.2",)
    assert found.notes == ("qemu-5.2 does not confirm it any more: the case changed, run it there",)


def test_a_release_confirms_on_every_format_or_not_at_all() -> None:
    both = definition(("qcow2", "raw"))
    found = proposal(both, answers(qemu_7_2=SAME, qemu_10_0=SAME, qemu_10_0_raw=SAME))
    assert found.golden.header.confirmed == ("qemu-10.0",)
    assert found.notes == ("qemu-7.2 does not confirm it yet: it has not answered on every format",)


def test_a_format_on_which_the_case_does_not_run_needs_no_answer() -> None:
    case = definition(("qcow2", "raw"), {"qemu<8.0 raw": "trips BUG-01"})
    found = proposal(case, answers(qemu_7_2=SAME))
    assert found.golden.header.confirmed == ("qemu-7.2",)
    assert "not [qemu<8.0 raw]: trips BUG-01\n" in found.text


def test_an_engine_that_shows_another_release_confirms_nothing() -> None:
    found = proposal(definition(), answers(engine_7_2=SAME, qemu_10_0=SAME))
    assert found.golden.header.confirmed == ("qemu-10.0",)


def test_differing_builds_that_no_guard_can_tell_apart() -> None:
    given = {
        Context(implementation=name, release="9.0", format="qcow2"): read_answer(text, "test")
        for name, text in (("qemu-9.0x", SAME), ("qemu-9.0y", OTHER))
    }
    with pytest.raises(GoldenError, match="no guard can say"):
        propose(definition(), given, None)
