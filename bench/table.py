"""Results: medians, ratios and targets, as a table for people and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum

SCALES = {"s": (1.0, "s"), "ms": (1e3, "ms"), "MiB": (1 / (1 << 20), "MiB")}


class Bound(Enum):
    """What a target bounds."""

    RATIO = "ratio"
    BOTH_WAYS = "ratio, both ways"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """At most `most`: of the ratio engine/QEMU, of that and of QEMU/engine, or of the engine's own median.

    The median counts in the unit that is shown.
    """

    bound: Bound
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure: its samples (seconds or bytes) of the engine and of QEMU, and what they have to be, if anything."""

    title: str
    unit: str
    target: Target | None
    engine: list[float] = field(default_factory=list)
    qemu: list[float] = field(default_factory=list)

    def medians(self) -> tuple[float, float]:
        """The engine's and QEMU's, in the unit that is shown."""
        scale = SCALES[self.unit][0]
        return statistics.median(self.engine) * scale, statistics.median(self.qemu) * scale

    def ratio(self) -> float:
        """Engine to QEMU: below 1 the engine is faster, or smaller."""
        engine, qemu = self.medians()
        return engine / qemu

    def met(self) -> bool:
        """Whether the target is kept, if there is one."""
        return self.target is None or self._reached(self.target.bound) <= self.target.most

    def _reached(self, bound: Bound) -> float:
        if bound is Bound.ENGINE:
            return self.medians()[0]
        ratio = self.ratio()
        return max(ratio, 1 / ratio) if bound is Bound.BOTH_WAYS else ratio

    def goal(self) -> str:
        """The target in words; "-" when there is none."""
        if self.target is None:
            return "-"
        if self.target.bound is Bound.RATIO:
            return f"ratio <= {self.target.most:.2f}"
        if self.target.bound is Bound.BOTH_WAYS:
            return f"ratio {1 / self.target.most:.2f} to {self.target.most:.2f}"
        return f"engine <= {self.target.most:g} {self.unit}"


def heading(qemu_name: str) -> str:
    """The table's first line."""
    return f"{'medians':<40} {'engine':>10} {qemu_name:>10} {'ratio':>6} {'samples':>9}  target"


def render(row: Row) -> str:
    """One line of the table."""
    engine, qemu = (f"{value:.{2 if row.unit == 's' else 1}f} {row.unit}" for value in row.medians())
    verdict = "" if row.met() else "   MISSED"
    samples = f"{len(row.engine)}/{len(row.qemu)}"
    return f"{row.title:<40} {engine:>10} {qemu:>10} {row.ratio():>6.2f} {samples:>9}  {row.goal()}{verdict}"


def to_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Everything that was measured, samples included (seconds or bytes)."""
    return [
        {**asdict(row), "target": row.goal(), "ratio": row.ratio(), "medians": row.medians(), "met": row.met()}
        for row in rows
    ]
