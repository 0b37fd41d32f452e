"""cases/limits.toml: counts that may only fall.

uncovered_rules = 120      rules without a case
[not_run]                  cases that are not run on an implementation
"qemu-5.2" = 7
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backcheck.errors import UsageError

LIMITS_FILE = "limits.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None, and implementations that are not named, are without a limit."""

    uncovered_rules: int | None = None
    not_run: Mapping[str, int] = field(default_factory=dict)


def read_limits(cases: Path) -> Limits:
    """The limits in a folder of cases; none when there is no file. Raises UsageError."""
    path = cases / LIMITS_FILE
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Limits()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    not_run = values.pop("not_run", {})
    uncovered = values.pop("uncovered_rules", None)
    counts = [uncovered or 0, *not_run.values()] if isinstance(not_run, dict) else ["not_run"]
    if values or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise UsageError(f"{path}: holds uncovered_rules = N and [not_run] NAME = N, nothing else")
    return Limits(uncovered_rules=uncovered, not_run=not_run)
