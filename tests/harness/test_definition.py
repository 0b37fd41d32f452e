"""What a case file must look like."""

from pathlib import Path

import pytest

import backcheck
from backcheck.definition import load_case
from backcheck.errors import UsageError

GOOD = '''"""A promise that holds.

More about it.
"""
from backcheck import Case, case

@case(rules=["EVT-02", "CBW-01"], groups=["quick"], not_on={"qemu<6.0": "BUG-01"}, requires=["zstd"], keep_pairs=True)
def run(t: Case) -> None:
    pass
'''


def write(folder: Path, text: str, name: str = "112_a_promise_that_holds.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_case_file(tmp_path: Path) -> None:
    case = load_case(write(tmp_path, GOOD))
    assert (case.number, case.slug, case.title) == ("112", "a-promise-that-holds", "A promise that holds")
    assert (case.rules, case.groups, case.formats) == (("EVT-02", "CBW-01"), frozenset({"quick"}), ("qcow2",))
    assert (case.not_on, case.requires, case.keep_pairs) == ({"qemu<6.0": "BUG-01"}, ("zstd",), True)
    assert case.golden_name == "112.out"
    assert case.path == tmp_path / "112_a_promise_that_holds.py"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace('rules=["EVT-02", "CBW-01"]', "rules=[]"), "names at least one rule"),
        (GOOD.replace('rules=["EVT-02", "CBW-01"]', 'rules="EVT-02"'), "rules is a list of texts"),
        (GOOD.replace('["quick"]', '"quick"'), "groups is a list of texts"),
        (GOOD.replace('{"qemu<6.0": "BUG-01"}', '["qemu<6.0"]'), "not_on has a reason for each guard"),
        (GOOD.replace("keep_pairs=True", "timeout_s=0"), "timeout_s is a number of seconds above 0"),
        (GOOD.replace("keep_pairs=True", "timeout_s='x'"), "timeout_s is a number of seconds above 0, not 'x'"),
        (GOOD.replace("rules=", "rule="), r"keyword argument 'rule' \(write @case\(rules="),
        (GOOD.replace(GOOD[GOOD.index("@case(") : GOOD.index("def run")], "@case\n"), r"\(write @case\(rules="),
        (GOOD.replace("EVT-02", "evt2"), "'evt2' is not the id of a rule"),
        (GOOD.replace("requires", 'formats=["vmdk"], requires'), "'vmdk' is not a source format"),
        (GOOD[GOOD.index("from") :], "the module's docstring is the case's title"),
        (GOOD[: GOOD.index("@case")], r"has no function decorated with @case\(…\); a case file has one"),
        (GOOD + GOOD[GOOD.index("@case") :].replace("run", "run2"), "has 2 functions decorated with @case"),
        ("def", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_case(write(tmp_path, text))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["12_short.py", "112-dashes.py", "112_Upper.py", "case.py"])
def test_the_name_is_the_number(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"a case file is named NNN_what_it_promises\.py"):
        load_case(write(tmp_path, GOOD, name))


def test_the_decorator_stays_the_decorator() -> None:
    from backcheck.case import Case  # the module of the same name, which must not take its place

    assert callable(backcheck.case)
    assert backcheck.Case is Case
