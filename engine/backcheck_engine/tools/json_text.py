"""JSON as qemu-img prints it: keys in QEMU's order, four blanks a level, an empty list or object on two lines."""

import json

from backcheck_engine.block.key_order import in_qemu_order
from backcheck_engine.json_value import JsonValue

_STEP = "    "


def json_text(value: JsonValue, margin: str = "") -> str:
    """The text of a value, without a newline at the end."""
    inner = margin + _STEP
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {json_text(value[key], inner)}" for key in in_qemu_order(value)]
        return _enclosed("{", items, "}", margin)
    if isinstance(value, list):
        return _enclosed("[", [json_text(item, inner) for item in value], "]", margin)
    return json.dumps(value)


def _enclosed(opening: str, items: list[str], closing: str, margin: str) -> str:
    lines = ",\n".join(f"{margin}{_STEP}{item}" for item in items)
    return "\n".join([opening, *([lines] if lines else []), margin + closing])
