"""Where numbered cases and their goldens are, and which of them a person means.

A checkout's `cases/` and `golden/` win: those above the current folder, then those beside the package. What was
installed from a wheel has its own copies. A folder of one's own works too: it has `cases/rules.toml`.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backcheck.definition import FILE_NAME, CaseDefinition, load_case
from backcheck.errors import UsageError

RULES_FILE = "rules.toml"
PACKAGE = Path(__file__).absolute().parent
_RANGE = re.compile(r"(?P<first>\d{1,6})(?:-(?P<last>\d{1,6}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A folder with `cases` and `golden` in it."""

    root: Path

    @property
    def cases(self) -> Path:
        """The folder of case files."""
        return self.root / "cases"

    @property
    def golden(self) -> Path:
        """The folder of goldens."""
        return self.root / "golden"

    @property
    def rules(self) -> Path:
        """The catalogue of rules."""
        return self.cases / RULES_FILE

    @property
    def installed(self) -> bool:
        """Whether these came with an installed package, and so are not for changing."""
        return self.root == PACKAGE

    def require_own(self) -> None:
        """Raises UsageError when these are not for changing."""
        if self.installed:
            raise UsageError(f"{self.root} is an installed package: work in a checkout, or begin with `backcheck new`")

    def case_files(self) -> dict[str, Path]:
        """Number -> file, in order. Raises UsageError when a number is taken twice."""
        files: dict[str, Path] = {}
        for path in sorted(self.cases.glob("*.py")):
            if match := FILE_NAME.fullmatch(path.name):
                if match["number"] in files:
                    twins = f"{files[match['number']].name} and {path.name}"
                    raise UsageError(f"{twins} have the same number; rename one")
                files[match["number"]] = path
        return files

    def definitions(self, numbers: Iterable[str] = (), groups: Iterable[str] = ()) -> list[CaseDefinition]:
        """The cases meant by numbers or ranges (all, when there are none) that are in one of the groups (likewise)."""
        files = self.case_files()
        wanted = parse_numbers(numbers, files)
        whole = len(wanted) == len(files)
        loaded = [load_case(path) for number, path in files.items() if number in wanted]
        groups = frozenset(groups)
        if not groups:
            return loaded
        known = frozenset[str]().union(*(definition.groups for definition in loaded))
        if unknown := sorted(groups - known):
            none, those = ("no case", "there are") if whole else ("none of these cases", "they are in")
            raise UsageError(f"{none} is in the group {', '.join(unknown)}; {those} {', '.join(sorted(known))}")
        return [definition for definition in loaded if definition.groups & groups]

    def unused_goldens(self) -> list[Path]:
        """Goldens that no case has."""
        files = self.case_files()
        return [path for path in sorted(self.golden.glob("*.out")) if path.stem not in files]


def find_catalogue(start: Path | None = None) -> Catalogue:
    """The catalogue for somebody who works in a folder (the current one). Raises UsageError when there is none."""
    start = (start or Path.cwd()).absolute()
    for root in (start, *start.parents, PACKAGE.parents[1], PACKAGE):
        if (root / "cases" / RULES_FILE).is_file():
            return Catalogue(root=root)
    raise UsageError("there are no cases: neither a folder with cases/rules.toml here or above, nor installed ones")


def own_catalogue() -> Catalogue:
    """The catalogue to add a case to: who has only the installed one begins their own in the current folder."""
    catalogue = find_catalogue()
    if not catalogue.installed:
        return catalogue
    own = Catalogue(root=Path.cwd())
    try:
        for folder in (own.cases, own.golden):
            folder.mkdir(exist_ok=True)
        shutil.copyfile(catalogue.rules, own.rules)
    except OSError as error:
        raise UsageError(f"a folder of cases cannot be begun here: {error}") from error
    return own


def parse_numbers(texts: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    """The numbers that `112`, `7`, `100-120` mean, among the known ones; without texts all of them.

    Raises UsageError for a text that is neither, and for one that means no case.
    """
    by_value = {int(number): number for number in known}
    chosen: set[str] = set()
    texts = [part for text in texts for part in text.split(",")]
    for text in texts:
        match = _RANGE.fullmatch(text)
        if match is None:
            raise UsageError(f"'{text}' is neither the number of a case, as 112, nor a range, as 100-120")
        first, last = int(match["first"]), int(match["last"] or match["first"])
        found = {number for value, number in by_value.items() if first <= value <= last}
        if not found:
            hint = ": a range is from the lower to the higher" if last < first else ""
            raise UsageError(f"there is no case {text}" if first == last else f"there are no cases {text}{hint}")
        chosen |= found
    return frozenset(chosen) if texts else frozenset(by_value.values())


def numbers_text(numbers: Sequence[str]) -> str:
    """Numbers as a person writes them, runs of three and more as ranges: `001-004 112`."""
    parts: list[list[str]] = []
    for number in sorted(numbers, key=int):
        if parts and int(number) == int(parts[-1][-1]) + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else " ".join(run) for run in parts)
