"""The catalogue of rules, cases/rules.toml: what QEMU does, as data, and which cases verify it."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from backcheck.definition import RULE_ID, CaseDefinition
from backcheck.errors import GoldenError, UsageError
from backcheck.golden.guards import ALWAYS, Guard, parse_guard

ALL_RELEASES = "all"
_REQUIRED = frozenset({"says", "releases", "learned"})
_OPTIONAL = frozenset({"why"})


class Learned(Enum):
    """How a rule came to be known."""

    OBSERVED = "observed"
    SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """says: what QEMU does. releases: where. why: why no case can verify it, or not yet."""

    id: str
    says: str
    releases: Guard
    learned: tuple[Learned, ...]
    why: str | None = None

    @property
    def family(self) -> str:
        """`ARG` of `ARG-01`."""
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which cases verify each rule, in the catalogue's order."""

    rules: tuple[Rule, ...]
    cases: Mapping[str, tuple[str, ...]]
    """Rule id -> numbers of its cases."""

    @property
    def uncovered(self) -> tuple[Rule, ...]:
        """Rules that no case verifies."""
        return tuple(rule for rule in self.rules if not self.cases[rule.id])


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a file. Raises UsageError naming the rule that is not well formed."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    return tuple(_rule(path, id, table) for id, table in tables.items())


def coverage(rules: tuple[Rule, ...], definitions: Iterable[CaseDefinition]) -> Coverage:
    """Counts cases by rule. Raises UsageError for a case that names a rule which is not there."""
    cases: dict[str, list[str]] = {rule.id: [] for rule in rules}
    for definition in definitions:
        for id in definition.rules:
            if id not in cases:
                raise UsageError(f"{definition.path}: there is no rule {id} in cases/rules.toml")
            cases[id].append(definition.number)
    return Coverage(rules=rules, cases={id: tuple(numbers) for id, numbers in cases.items()})


def _rule(path: Path, id: str, table: object) -> Rule:
    place = f"{path}: {id}"
    if not RULE_ID.fullmatch(id):
        raise UsageError(f"{place} is not the id of a rule, as EVT-02")
    if not isinstance(table, dict):
        raise UsageError(f"{place} is not a table")
    if missing := sorted(_REQUIRED - table.keys()):
        raise UsageError(f"{place} lacks {', '.join(missing)}")
    if unknown := sorted(table.keys() - _REQUIRED - _OPTIONAL):
        raise UsageError(f"{place} has {', '.join(unknown)}, which no rule has")
    says, why, learned = table["says"], table.get("why"), table["learned"]
    if not isinstance(says, str) or not says.strip() or "\n" in says:
        raise UsageError(f"{place}: 'says' is one line of text")
    if why is not None and (not isinstance(why, str) or not why.strip()):
        raise UsageError(f"{place}: 'why' is text")
    return Rule(
        id=id, says=says, releases=_releases(place, table["releases"]), learned=_learned(place, learned), why=why
    )


def _releases(place: str, text: object) -> Guard:
    if not isinstance(text, str):
        raise UsageError(f"{place}: 'releases' is text")
    if text == ALL_RELEASES:
        return ALWAYS
    if re.search(r"\b(raw|qcow2)\b", text):
        raise UsageError(f"{place}: 'releases' names releases, not formats")
    try:
        return parse_guard(text)
    except GoldenError as error:
        raise UsageError(f"{place}: 'releases': {error}") from error


def _learned(place: str, learned: object) -> tuple[Learned, ...]:
    known = {each.value: each for each in Learned}
    if not isinstance(learned, list) or not learned or not all(each in known for each in learned):
        raise UsageError(f"{place}: 'learned' is a list of {', '.join(known)}")
    return tuple(known[each] for each in learned)
