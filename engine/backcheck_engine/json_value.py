"""The type of what travels on the wire: JSON as Python's own values."""

from __future__ import annotations

from typing import TypeAlias, Union

# Not strings as a whole, so that `JsonObject | None` may also be evaluated.
JsonValue: TypeAlias = Union[bool, int, float, str, list["JsonValue"], dict[str, "JsonValue"], None]  # noqa: UP007 - ditto
JsonObject: TypeAlias = dict[str, JsonValue]
