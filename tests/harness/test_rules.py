"""The catalogue of rules: the one of the project is well formed, and one that is not is refused with the rule named."""

from pathlib import Path

import pytest

from backcheck.catalogue import find_catalogue
from backcheck.errors import UsageError
from backcheck.report.rule_list import rule_lines, selected_rules
from backcheck.rules import Coverage, Learned, coverage, read_rules
from backcheck.running.limits import Limits, read_limits

GOOD = '[EVT-01]\nsays = "Every event has a time."\nreleases = "qemu>=6.0"\nlearned = ["observed", "source"]\n'
WITHOUT = '[BUG-01]\nsays = "It hangs."\nreleases = "all"\nlearned = ["observed"]\nwhy = "it hangs"\n'


@pytest.fixture
def covered(tmp_path: Path) -> Coverage:
    rules = tmp_path / "rules.toml"
    rules.write_text(GOOD + WITHOUT)
    return Coverage(rules=read_rules(rules), cases={"EVT-01": ("001", "002", "003", "007"), "BUG-01": ()})


def test_every_rule_of_the_project_is_well_formed_and_every_case_names_one_that_is_there() -> None:
    catalogue = find_catalogue(Path(__file__).parent)
    rules = read_rules(catalogue.rules)
    found = coverage(rules, catalogue.definitions())
    assert len(rules) > 250
    assert len({rule.says for rule in rules}) == len(rules)
    limit = read_limits(catalogue.cases).uncovered_rules
    assert limit is None or len(found.uncovered) <= limit


def test_a_rule_is_read_with_all_it_says(covered: Coverage) -> None:
    first, second = covered.rules
    assert (first.id, first.family, first.releases.atoms) == ("EVT-01", "EVT", ("qemu>=6.0",))
    assert first.learned == (Learned.OBSERVED, Learned.SOURCE)
    assert (second.why, second.releases.atoms) == ("it hangs", ())
    assert covered.uncovered == (second,)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("[EVT-01]", "[nonsense]"), "nonsense is not the id of a rule"),
        (('says = "Every event has a time."\n', ""), "EVT-01 lacks says"),
        (('"Every event has a time."', '""'), "EVT-01: 'says' is one line"),
        (('"Every event has a time."', "5"), "EVT-01: 'says' is one line"),
        (('"qemu>=6.0"', '"from 6.0"'), "EVT-01: 'releases': 'from' is not a condition"),
        (('"qemu>=6.0"', '"raw"'), "EVT-01: 'releases' names releases"),
        (('"qemu>=6.0"', "6"), "EVT-01: 'releases' is text"),
        (('["observed", "source"]', '["guessed"]'), "EVT-01: 'learned' is a list of observed, source"),
        (('["observed", "source"]', "[]"), "EVT-01: 'learned' is a list"),
        (("learned", "more = 1\nlearned"), "EVT-01 has more"),
        (("[EVT-01]\n", ""), "says is not the id"),
        (("[EVT-01]", "[EVT-01"), "rules.toml: "),
    ],
)
def test_what_is_no_rule_is_refused(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(GOOD.replace(*change, 1))
    with pytest.raises(UsageError) as caught:
        read_rules(rules)
    assert complaint in str(caught.value)


def test_rules_are_chosen_by_id_and_family(covered: Coverage) -> None:
    def ids(*wanted: str, uncovered: bool = False) -> list[str]:
        return [rule.id for rule in selected_rules(covered, wanted, uncovered=uncovered)]

    assert ids() == ["EVT-01", "BUG-01"]
    assert ids("EVT") == ids("EVT-01") == ["EVT-01"]
    assert ids(uncovered=True) == ["BUG-01"]
    with pytest.raises(UsageError, match="there is no rule NOPE-01"):
        ids("NOPE-01")


def test_a_rule_is_printed_with_its_cases_or_why_it_has_none(covered: Coverage) -> None:
    lines = [line for rule in covered.rules for line in rule_lines(rule, covered, 80)]
    assert lines == [
        "EVT-01    Every event has a time.",
        "          (qemu>=6.0; observed, source; cases 001-003 007)",
        "BUG-01    It hangs.",
        "          (all releases; observed; no case: it hangs)",
    ]


@pytest.mark.parametrize(
    "text", ["uncovered_rules = -1", "more = 1", "not_run = 5", '[not_run]\n"x" = "y"', "nonsense"]
)
def test_limits_hold_counts_only(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(UsageError, match=r"limits\.toml"):
        read_limits(tmp_path)


def test_limits_are_read_and_may_be_absent(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()
    (tmp_path / "limits.toml").write_text('uncovered_rules = 3\n[not_run]\n"qemu-5.2" = 7\n')
    assert read_limits(tmp_path) == Limits(uncovered_rules=3, not_run={"qemu-5.2": 7})
