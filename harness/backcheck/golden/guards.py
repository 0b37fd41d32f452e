"""Guards: which implementations and formats a golden's line, or a reason not to run, speaks of.

    [qemu<6.0]                  releases before 6.0
    [qemu>=6.0 qemu<10.0 raw]   all must hold
    [engine]                    the bundled engine; only where a case is not run at all

The engine counts as the release it greets with, so a line's guard never tells it from a QEMU. Nothing here knows cases
or golden files.
"""

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from backcheck.errors import GoldenError

FORMATS = ("qcow2", "raw")
ENGINE = "engine"

ReleaseNumber: TypeAlias = tuple[int, ...]

_COMPARISONS: dict[str, Callable[[ReleaseNumber, ReleaseNumber], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_RELEASE_ATOM = re.compile(r"qemu(<=|>=|==|<|>)(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Context:
    """Where an answer was given. `release` is `major.minor` of the QEMU whose behaviour the implementation shows."""

    implementation: str
    release: str
    format: str

    def __str__(self) -> str:
        return f"{self.implementation}-{self.format}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A conjunction of atoms, as written. Without atoms it always holds."""

    atoms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"[{' '.join(self.atoms)}]" if self.atoms else ""

    def holds(self, context: Context) -> bool:
        """Whether every atom holds there."""
        return all(_atom_holds(atom, context) for atom in self.atoms)


ALWAYS = Guard()


def parse_guard(text: str, *, where: str | None = None, engine_allowed: bool = False) -> Guard:
    """The guard that stands between the brackets. Raises GoldenError for an atom that is none."""
    atoms = tuple(text.split())
    if not atoms:
        raise GoldenError("a guard without a condition", where)
    for atom in atoms:
        if not (atom in FORMATS or _RELEASE_ATOM.fullmatch(atom) or (atom == ENGINE and engine_allowed)):
            known = "qemu<6.0, qemu>=10.0, " + ", ".join((*FORMATS, *([ENGINE] if engine_allowed else [])))
            raise GoldenError(f"'{atom}' is not a condition of a guard ({known})", where)
    return Guard(atoms=atoms)


def holds(guard: str, *, implementation: str, release: str, format: str) -> bool:
    """Whether a reason's guard, written without brackets, holds for this implementation and source format."""
    context = Context(implementation=implementation, release=release, format=format)
    return parse_guard(guard, engine_allowed=True).holds(context)


def release_number(release: str) -> ReleaseNumber:
    """`7.2` -> (7, 2), to be ordered. Raises GoldenError for anything else."""
    try:
        return tuple(int(part) for part in release.split("."))
    except ValueError:
        raise GoldenError(f"'{release}' is not a release, as 7.2") from None


def covering_guards(
    wanted: Iterable[Context], tested: Iterable[Context], preferred: Iterable[Guard] = ()
) -> list[Guard]:
    """The fewest, simplest guards that together hold exactly in `wanted`, seen among all that were `tested`.

    No two of them hold in the same place, for a line must not be expected twice.
    preferred: taken when one of them says it, since a person may know the release in which a behaviour changed.
    Raises GoldenError when `wanted` tells two implementations of one release and format apart: no guard can say that.
    """
    wanted_set, tested_set = frozenset(wanted), frozenset(tested)
    if wanted_set == tested_set:
        return [ALWAYS]
    for guard in preferred:
        if wanted_set == frozenset(filter(guard.holds, tested_set)):
            return [guard]
    candidates = _candidates(tested_set)
    remaining, chosen = set(wanted_set), list[Guard]()
    while remaining:
        usable = [(guard, where) for guard, where in candidates if where and where <= remaining]
        if not usable:
            raise GoldenError(f"no guard can say: {', '.join(sorted(map(str, remaining)))}")
        best, where = max(usable, key=lambda item: len(item[1]))
        chosen.append(best)
        remaining -= where
    return chosen


def _candidates(tested: frozenset[Context]) -> list[tuple[Guard, frozenset[Context]]]:
    """Every release range with every format, simplest first, and where it holds."""
    releases = sorted({context.release for context in tested}, key=release_number)
    ranges: list[tuple[str, ...]] = [()]
    ranges += [(f"qemu<{release}",) for release in releases[1:]]
    ranges += [(f"qemu>={release}",) for release in releases[1:]]
    ranges += [(f"qemu>={low}", f"qemu<{high}") for i, low in enumerate(releases[1:], 1) for high in releases[i + 1 :]]
    formats: list[tuple[str, ...]] = [(), *((name,) for name in sorted({context.format for context in tested}))]
    guards = [Guard(atoms=(*release_range, *name)) for release_range in ranges for name in formats]
    guards.sort(key=lambda guard: len(guard.atoms))
    return [(guard, frozenset(filter(guard.holds, tested))) for guard in guards]


def _atom_holds(atom: str, context: Context) -> bool:
    match = _RELEASE_ATOM.fullmatch(atom)
    if match:
        return _COMPARISONS[match[1]](release_number(context.release), release_number(match[2]))
    if atom == ENGINE:
        return context.implementation.split("-")[0] == ENGINE
    return atom == context.format
