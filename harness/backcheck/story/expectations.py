"""Comparing what came with what a case expects, value by value, in words."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from backcheck.json_types import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Between:
    """Any number from `low` to `high`, both included; the golden then reads `key=(asserted)`."""

    low: int
    high: int

    def holds(self, value: JsonValue) -> bool:
        """Whether a value is such a number."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


def between(low: int, high: int) -> Between:
    """What to expect of a number that is not the same each time: `job.expect(offset=between(0, MiB))`."""
    return Between(low, high)


Expected: TypeAlias = "JsonValue | Between"
"""What a case expects of one key: a value, a range, or None for a key that must be absent (or null)."""


def wrong_keys(expected: Mapping[str, Expected], got: JsonObject) -> list[str]:
    """The expected keys whose values are not as expected."""
    return [key for key, value in expected.items() if not _holds(value, got.get(name_in(got, key)))]


def asserted_keys(expected: Mapping[str, Expected], got: JsonObject) -> tuple[str, ...]:
    """The keys that are only asserted, not frozen."""
    return tuple(name_in(got, key) for key, value in expected.items() if isinstance(value, Between))


def chosen(got: JsonObject, keys: Iterable[str]) -> JsonObject:
    """Those of the keys that came, with their values."""
    names = [name_in(got, key) for key in keys]
    return {name: got[name] for name in names if name in got}


def render_expected(expected: Mapping[str, Expected], got: JsonObject, keys: Iterable[str]) -> str:
    """`key=value` of some keys, as expected."""
    return " ".join(f"{name_in(got, key)}={_render(expected[key])}" for key in keys)


def render_got(got: JsonObject, keys: Iterable[str]) -> str:
    """`key=value` of some keys, as they came; `(absent)` for those that did not."""
    names = [name_in(got, key) for key in keys]
    return " ".join(f"{name}={_render(got[name]) if name in got else '(absent)'}" for name in names)


def name_in(got: JsonObject, key: str) -> str:
    """What a Python name means in an answer: itself where the answer has it, as `backing_file_depth`, else with `-`."""
    return key if key in got else wire_name(key)


def wire_name(key: str) -> str:
    """The QMP name of a Python name: `auto_finalize` -> `auto-finalize`."""
    return key.replace("_", "-")


def _holds(expected: Expected, value: JsonValue) -> bool:
    if isinstance(expected, Between):
        return expected.holds(value)
    return type(expected) is type(value) and expected == value


def _render(value: Expected) -> str:
    return str(value) if isinstance(value, Between) else json.dumps(value)
