"""Format specific information as lines to read: names with blanks, nested values indented, lists numbered."""

from collections.abc import Iterator

from backcheck_engine.block.key_order import in_qemu_order
from backcheck_engine.json_value import JsonObject, JsonValue

_STEP = 4
HEADING = "Format specific information:"


def specific_info_lines(info: JsonObject, heading: str = HEADING) -> list[str]:
    """The lines for an ImageInfoSpecific, with their heading; none when there is nothing in it."""
    data = info.get("data")
    lines = list(_lines(data, _STEP)) if data else []
    return [heading, *lines] if lines else []


def _lines(value: JsonValue, indentation: int) -> Iterator[str]:
    items: list[tuple[str, JsonValue]] = []
    if isinstance(value, dict):
        items = [(key.replace("-", " "), value[key]) for key in in_qemu_order(value)]
    elif isinstance(value, list):
        items = [(f"[{index}]", item) for index, item in enumerate(value)]
    for name, item in items:
        margin = " " * indentation
        if isinstance(item, dict | list):
            yield f"{margin}{name}:"
            yield from _lines(item, indentation + _STEP)
        else:
            yield f"{margin}{name}: {_scalar(item)}"


def _scalar(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
