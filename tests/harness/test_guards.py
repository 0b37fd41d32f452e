"""Guards: what they say, where they hold, and the fewest that say who gave an answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck.errors import GoldenError
from backcheck.golden.guards import ALWAYS, Context, covering_guards, holds, parse_guard, release_number


def at(release: str, format: str = "qcow2", implementation: str = "") -> Context:
    return Context(implementation=implementation or f"qemu-{release}", release=release, format=format)


TESTED = [at(release, format) for release in ("5.2", "7.2", "10.0", "11.1") for format in ("qcow2", "raw")]


@pytest.mark.parametrize(
    ("guard", "release", "format", "expected"),
    [
        ("qemu<6.0", "5.2", "raw", True),
        ("qemu<6.0", "6.0", "raw", False),
        ("qemu<=6.0", "6.0", "raw", True),
        ("qemu>=10.0", "7.2", "raw", False),
        ("qemu>=10.0", "10.0", "raw", True),
        ("qemu>9.0", "10.0", "raw", True),
        ("qemu==7.2", "7.2", "raw", True),
        ("qemu>=6.0 qemu<10.0", "8.2", "raw", True),
        ("qemu>=6.0 qemu<10.0", "10.0", "raw", False),
        ("raw", "7.2", "raw", True),
        ("raw", "7.2", "qcow2", False),
        ("qemu<6.0 raw", "5.2", "qcow2", False),
        ("engine", "10.0", "raw", False),
    ],
)
def test_where_a_guard_holds(guard: str, release: str, format: str, expected: bool) -> None:
    assert holds(guard, implementation=f"qemu-{release}", release=release, format=format) is expected


@pytest.mark.parametrize("name", ["engine", "engine-5.2"])
def test_the_engine_counts_as_its_release_and_can_be_left_out(name: str) -> None:
    assert holds("qemu<6.0", implementation=name, release="5.2", format="raw")
    assert holds("engine", implementation=name, release="5.2", format="raw")


@pytest.mark.parametrize("text", ["", "nonsense", "qemu<x", "qemu 6.0", "engine", "qemu<6.0 vmdk"])
def test_what_is_no_guard_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(GoldenError, match=r"^golden/001\.out:3: "):
        parse_guard(text, where="golden/001.out:3")


def test_releases_are_ordered_as_numbers() -> None:
    assert release_number("10.0") > release_number("9.2") > release_number("5.2")
    with pytest.raises(GoldenError, match="is not a release"):
        release_number("ten")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (TESTED, [""]),
        ([at("5.2"), at("5.2", "raw")], ["[qemu<7.2]"]),
        ([at("11.1"), at("11.1", "raw")], ["[qemu>=11.1]"]),
        ([at("7.2"), at("7.2", "raw")], ["[qemu>=7.2 qemu<10.0]"]),
        ([context for context in TESTED if context.format == "raw"], ["[raw]"]),
        ([at("5.2", "raw")], ["[qemu<7.2 raw]"]),
        ([at("5.2"), at("5.2", "raw"), at("10.0"), at("10.0", "raw")], ["[qemu<7.2]", "[qemu>=10.0 qemu<11.1]"]),
    ],
)
def test_the_simplest_guard_that_says_it(wanted: list[Context], expected: list[str]) -> None:
    assert [str(guard) for guard in covering_guards(wanted, TESTED)] == expected


def test_a_guard_that_a_person_wrote_is_kept_when_it_says_the_same() -> None:
    wanted = [at("5.2"), at("5.2", "raw")]
    assert covering_guards(wanted, TESTED, [ALWAYS, parse_guard("qemu<6.0")]) == [parse_guard("qemu<6.0")]
    assert covering_guards(wanted, TESTED, [parse_guard("qemu<10.0")]) == [parse_guard("qemu<7.2")]


def test_no_guard_tells_the_engine_from_its_release() -> None:
    with pytest.raises(GoldenError, match="no guard can say: engine-raw"):
        covering_guards([at("10.0", "raw", "engine")], [at("10.0", "raw", "engine"), at("10.0", "raw")])


@given(st.sets(st.sampled_from(TESTED), min_size=1))
def test_guards_cover_exactly_what_is_wanted(wanted: set[Context]) -> None:
    guards = covering_guards(wanted, TESTED)
    assert {context for context in TESTED if any(guard.holds(context) for guard in guards)} == wanted
    for guard, other in itertools.combinations(guards, 2):
        assert not set(filter(guard.holds, TESTED)) & set(filter(other.holds, TESTED))
