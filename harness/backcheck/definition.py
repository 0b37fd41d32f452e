"""What a numbered case is before it runs: the `@case` decorator, its definition, loading a case file.

A case file is `NNN_what_it_promises.py`: the name is the only source of number and slug, the first line of the module's
docstring is the title.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from backcheck.errors import UsageError

if TYPE_CHECKING:
    from backcheck.case import Case

CaseFunction: TypeAlias = "Callable[[Case], None]"

FILE_NAME = re.compile(r"(?P<number>\d{3,})_(?P<slug>[a-z0-9_]+)\.py")
RULE_ID = re.compile(r"[A-Z]+-\d{2,}")
SOURCE_FORMATS = ("qcow2", "raw")
DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDefinition:
    """A numbered case.

    rules: ids of cases/rules.toml that it verifies. formats: source formats on which it runs. requires: what a build
    must have (`zstd`, or `driver:NAME`, `command:NAME`); a build that lacks it skips. not_on: guard, as in a golden but
    without brackets (`qemu<6.0`, `raw`), -> the reason, naming the rule, why the case does not run there.
    """

    run: CaseFunction
    path: Path
    number: str
    slug: str
    title: str
    rules: tuple[str, ...]
    groups: frozenset[str]
    formats: tuple[str, ...]
    requires: tuple[str, ...]
    not_on: Mapping[str, str]
    timeout_s: float
    keep_pairs: bool

    @property
    def golden_name(self) -> str:
        """The file name of its golden."""
        return f"{self.number}.out"


def case(
    *,
    rules: Sequence[str],
    groups: Sequence[str] = (),
    formats: Sequence[str] = ("qcow2",),
    requires: Sequence[str] = (),
    not_on: Mapping[str, str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    keep_pairs: bool = False,
) -> Callable[[CaseFunction], CaseDefinition]:
    """Makes a function a numbered case: `@case(rules=["EVT-02"], groups=["event", "quick"])` above `def run(t: Case)`.

    keep_pairs: the case is about `paused running` pairs, so the golden keeps them. See CaseDefinition for the others.
    Raises UsageError when the file's name or an argument is wrong.
    """

    def decorate(run: CaseFunction) -> CaseDefinition:
        path = Path(run.__code__.co_filename)
        number, slug = number_and_slug(path)
        _check(path, rules=rules, groups=groups, formats=formats, requires=requires)
        if not_on is not None and not isinstance(not_on, Mapping):
            raise UsageError(f"{path}: not_on has a reason for each guard, as {{'qemu<6.0': 'why (BUG-01)'}}")
        if not isinstance(timeout_s, int | float) or timeout_s <= 0:
            raise UsageError(f"{path}: timeout_s is a number of seconds above 0, not {timeout_s!r}")
        return CaseDefinition(
            run=run,
            path=path,
            number=number,
            slug=slug,
            title=_title(path, run),
            rules=tuple(rules),
            groups=frozenset(groups),
            formats=tuple(formats),
            requires=tuple(requires),
            not_on=dict(not_on or {}),
            timeout_s=timeout_s,
            keep_pairs=keep_pairs,
        )

    return decorate


def load_case(path: Path) -> CaseDefinition:
    """Executes a case file and returns the definition in it. Raises UsageError when there is none, or two."""
    number_and_slug(path)
    spec = importlib.util.spec_from_file_location(f"backcheck_case_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{path}: {type(error).__name__}: {error}{_hint(error)}") from error
    found = [value for value in vars(module).values() if isinstance(value, CaseDefinition)]
    if len(found) != 1:
        raise UsageError(
            f"{path}: has {len(found) or 'no'} function{'s' * (len(found) > 1)} decorated with @case(…); "
            f"a case file has one, `def run(t: Case) -> None`"
        )
    return found[0]


def _hint(error: Exception) -> str:
    """How the decorator is written, for what looks like a wrong use of it."""
    return ' (write @case(rules=["EVT-02"], groups=["quick"]))' if str(error).startswith("case()") else ""


def number_and_slug(path: Path) -> tuple[str, str]:
    """`112`, `failed-incremental-keeps-bitmap` of `112_failed_incremental_keeps_bitmap.py`."""
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise UsageError(f"{path}: a case file is named NNN_what_it_promises.py")
    return match["number"], match["slug"].replace("_", "-")


def _check(path: Path, **lists: Sequence[str]) -> None:
    for name, values in lists.items():
        if isinstance(values, str) or not all(isinstance(value, str) for value in values):
            raise UsageError(f"{path}: {name} is a list of texts, as {name}=[…]")
    rules, formats = lists["rules"], lists["formats"]
    for rule in rules:
        if not RULE_ID.fullmatch(rule):
            raise UsageError(f"{path}: {rule!r} is not the id of a rule, as EVT-02")
    for name in formats:
        if name not in SOURCE_FORMATS:
            raise UsageError(f"{path}: {name!r} is not a source format: {', '.join(SOURCE_FORMATS)}")
    if not rules or not formats:
        raise UsageError(f"{path}: a case names at least one rule and one format")


def _title(path: Path, run: CaseFunction) -> str:
    lines = (run.__globals__.get("__doc__") or "").strip().splitlines()
    if not lines:
        raise UsageError(f"{path}: the first line of the module's docstring is the case's title; it is missing")
    return str(lines[0]).rstrip(".")
