"""What a JSON document is to the type checker, at the wire and in transcripts."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
JsonObject: TypeAlias = Mapping[str, JsonValue]


def as_json(value: object) -> JsonValue:
    """The value, once it is seen to be JSON. Raises TypeError when it is not."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} is not JSON")


def objects(value: JsonValue) -> Sequence[JsonObject]:
    """The value, once it is seen to be a list of objects. Raises TypeError when it is not."""
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    raise TypeError(f"not a list of objects: {value!r}")


def number(value: JsonValue) -> int:
    """The value, once it is seen to be a whole number. Raises TypeError when it is not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is not a whole number")
