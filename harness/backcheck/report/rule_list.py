"""Rules as text: which ones a person asks for, and how `backcheck rules` prints them."""

import textwrap
from collections.abc import Sequence

from backcheck.catalogue import numbers_text
from backcheck.errors import UsageError
from backcheck.rules import Coverage, Rule

NO_CASE = "no case"
_ID_WIDTH = 10


def selected_rules(coverage: Coverage, ids: Sequence[str], *, uncovered: bool) -> list[Rule]:
    """The rules with these ids or of these families (all, without any). Raises UsageError for an unknown one."""
    known = {rule.id for rule in coverage.rules} | {rule.family for rule in coverage.rules}
    if unknown := [id for id in ids if id not in known]:
        raise UsageError(f"there is no rule {', '.join(unknown)}")
    return [
        rule
        for rule in (coverage.uncovered if uncovered else coverage.rules)
        if not ids or rule.id in ids or rule.family in ids
    ]


def rule_lines(rule: Rule, coverage: Coverage, width: int) -> list[str]:
    """A rule's sentence, wrapped, and below it the releases, how it was learned, and its cases or why it has none."""
    numbers = coverage.cases[rule.id]
    cases = f"cases {numbers_text(numbers)}" if numbers else NO_CASE + (f": {rule.why}" if rule.why else "")
    where = " ".join(rule.releases.atoms) or "all releases"
    learned = ", ".join(each.value for each in rule.learned)
    wrapped = textwrap.wrap(
        rule.says,
        width=max(width, 60),
        initial_indent=f"{rule.id:{_ID_WIDTH}}",
        subsequent_indent=" " * _ID_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*wrapped, f"{' ' * _ID_WIDTH}({where}; {learned}; {cases})"]
