"""Where cases and goldens are found, and which numbers a person means."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backcheck import catalogue as catalogue_module
from backcheck.catalogue import Catalogue, find_catalogue, numbers_text, own_catalogue, parse_numbers
from backcheck.errors import UsageError

KNOWN = ["001", "002", "003", "010", "112", "1000"]


def make(root: Path) -> Path:
    (root / "cases").mkdir(parents=True)
    (root / "cases" / "rules.toml").write_text("")
    return root


def test_the_folder_one_works_in_wins_and_then_those_above(tmp_path: Path) -> None:
    outer, inner = make(tmp_path / "outer"), make(tmp_path / "outer" / "deep" / "inner")
    assert find_catalogue(inner).root == inner
    assert find_catalogue(inner.parent).root == outer


def test_elsewhere_the_packages_checkout_is_found_then_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "lib" / "backcheck"
    monkeypatch.setattr(catalogue_module, "PACKAGE", package)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(UsageError, match="there are no cases"):
        find_catalogue(elsewhere)
    installed = find_catalogue(make(package) and elsewhere)
    assert installed.installed
    with pytest.raises(UsageError, match="is an installed package"):
        installed.require_own()
    make(tmp_path / "site")
    assert find_catalogue(elsewhere).root == tmp_path / "site"


def test_a_first_case_begins_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make(tmp_path / "site" / "lib" / "backcheck")
    (package / "cases" / "rules.toml").write_text("# rules\n")
    monkeypatch.setattr(catalogue_module, "PACKAGE", package)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    own = own_catalogue()
    assert own.root == elsewhere
    assert own.rules.read_text() == "# rules\n"
    assert find_catalogue().root == elsewhere


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], KNOWN),
        (["2"], ["002"]),
        (["002", "112"], ["002", "112"]),
        (["2-10"], ["002", "003", "010"]),
        (["1,3", "900-2000"], ["001", "003", "1000"]),
    ],
)
def test_numbers_and_ranges(texts: list[str], expected: list[str]) -> None:
    assert parse_numbers(texts, KNOWN) == set(expected)


@pytest.mark.parametrize("text", ["x", "1-", "-1", "4", "5-9", "10-2", ""])
def test_a_text_that_means_no_case_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_numbers([text], KNOWN)


@given(st.sets(st.integers(1, 30), min_size=1))
def test_numbers_read_back_from_their_text(values: set[int]) -> None:
    numbers = [f"{value:03d}" for value in sorted(values)]
    assert parse_numbers(numbers_text(numbers).split(), numbers) == set(numbers)


def test_goldens_that_no_case_has(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "cases" / "001_x.py").write_text("")
    (root / "cases" / "notes.py").write_text("")
    (root / "golden").mkdir()
    for name in ("001.out", "002.out", "notes.txt"):
        (root / "golden" / name).write_text("")
    found = Catalogue(root=root)
    assert list(found.case_files()) == ["001"]
    assert [path.name for path in found.unused_goldens()] == ["002.out"]
