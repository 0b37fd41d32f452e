"""Merging: several answers become one golden that expects from each exactly its own, and no more lines than needed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backcheck.errors import GoldenError
from backcheck.golden.golden_file import Answer, compare_answers, expected_answer, parse_steps, render_steps
from backcheck.golden.guards import Context
from backcheck.golden.merge import guard_complaints, merge
from backcheck.running.results import read_answer

RELEASES = ("5.2", "7.2", "10.0", "11.1")
TESTED = [
    Context(implementation=f"qemu-{release}", release=release, format=format)
    for release in RELEASES
    for format in ("qcow2", "raw")
]


def answers(texts: dict[str, str]) -> dict[Context, Answer]:
    """Answers by release, or by release and format as `7.2-raw`."""
    return {
        context: read_answer(texts.get(f"{context.release}-{context.format}", texts.get(context.release, "")), "test")
        for context in TESTED
    }


def merged(texts: dict[str, str], old: str = "") -> str:
    return render_steps(merge(answers(texts), parse_steps(old.split("\n"), "old")))


SAME = "== x\n-> query-jobs\n<- []\njob0: created running\n"


def test_what_all_say_stands_once_without_a_guard() -> None:
    assert merged(dict.fromkeys(RELEASES, SAME)) == SAME


def test_what_one_release_says_otherwise_stands_twice_oldest_first() -> None:
    texts = {**dict.fromkeys(RELEASES, SAME), "5.2": SAME.replace("<- []", '<- GenericError "no"')}
    assert merged(texts) == (
        '== x\n-> query-jobs\n[qemu<7.2] <- GenericError "no"\n[qemu>=7.2] <- []\njob0: created running\n'
    )


def test_the_guard_of_a_person_is_kept_while_it_says_the_same() -> None:
    texts = {**dict.fromkeys(RELEASES, SAME), "5.2": SAME.replace("<- []", '<- GenericError "no"')}
    old = '== x\n-> query-jobs\n[qemu<6.0] <- GenericError "no"\n[qemu>=6.0] <- []\njob0: created running\n'
    assert merged(texts, old) == old


def test_formats_and_releases_are_joined_in_one_guard() -> None:
    texts = {**dict.fromkeys(RELEASES, SAME), "11.1-raw": SAME + "event STOP\n"}
    assert "[qemu>=11.1 raw] event STOP\n" in merged(texts)


def test_what_only_some_say_before_the_first_step_has_a_guard_at_each_line() -> None:
    texts = {**dict.fromkeys(RELEASES, SAME), "5.2": "-> stop\n<- {}\n"}
    assert merged(texts) == (
        "[qemu<7.2] -> stop\n[qemu<7.2] <- {}\n\n[qemu>=7.2] == x\n-> query-jobs\n<- []\njob0: created running\n"
    )


def test_a_step_that_only_some_have_has_the_guard_at_its_heading() -> None:
    texts = {**dict.fromkeys(RELEASES, SAME), "5.2": SAME + "\n== more\n-> stop\n<- {}\n"}
    assert merged(texts) == SAME + "\n[qemu<7.2] == more\n-> stop\n<- {}\n"


def test_two_of_one_release_that_differ_cannot_be_said() -> None:
    engine = Context(implementation="engine", release="10.0", format="raw")
    qemu = Context(implementation="qemu-10.0", release="10.0", format="raw")
    with pytest.raises(GoldenError, match="no guard can say"):
        merge({engine: read_answer("-> x", "a"), qemu: read_answer("-> y", "b")})


LINES = st.sampled_from(["-> a", "-> b", "<- {}", "<- []", "job0: created", "job0: running", "event STOP", "x: a=1"])
STEPS = st.lists(st.tuples(st.sampled_from(["one", "two"]), st.lists(LINES, max_size=5)), max_size=3)


@settings(max_examples=30)
@given(st.lists(STEPS, min_size=len(TESTED), max_size=len(TESTED)))
def test_a_merged_golden_expects_from_each_its_own_answer(steps: list[list[tuple[str, list[str]]]]) -> None:
    texts = ["\n".join(f"== {title}\n" + "\n".join(lines) for title, lines in each) for each in steps]
    given_answers = {context: read_answer(text, "test") for context, text in zip(TESTED, texts, strict=True)}
    golden = merge(given_answers)
    read_back = parse_steps(render_steps(golden).split("\n"), "merged")
    for context, answer in given_answers.items():
        assert compare_answers(expected_answer(read_back, context), answer) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("== x\n-> a\n<- {}", None),
        ("== x\n[qemu<6.0] -> a\n[qemu>=6.0] -> b", None),
        ("== x\n-> a\n[qemu<5.0] <- {}", "fits nothing that ran: [qemu<5.0] <- {}"),
        ("== x\n-> a\n[qemu>=5.0] <- {}", "no longer needed: [qemu>=5.0] <- {}"),
        ("== x\n[raw] -> a\n[qcow2] -> a", "can be simpler: 2 lines say what 3 do"),
        ("[qemu<5.0] == x\n-> a", "fits nothing that ran: [qemu<5.0] == x"),
        ("[qemu>5.0] == x\n-> a", "no longer needed: [qemu>5.0] == x"),
    ],
)
def test_guards_that_nobody_needs_are_named(text: str, complaint: str | None) -> None:
    complaints = guard_complaints(parse_steps(text.split("\n"), "test"), TESTED)
    assert len(complaints) == (complaint is not None)
    if complaint:
        assert complaint in complaints[0]
