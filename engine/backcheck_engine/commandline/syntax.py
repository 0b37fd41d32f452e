"""The two notations of option values: flat `a=b,c=d`, and nested `a.b=c,a.d=e`, where `,,` is a comma.

The flat one (QemuOpts in QEMU) knows flags: `name` alone is `name=on` and `noname` is `name=off`. The nested one
(keyval) is stricter and builds a tree; components that are numbers make lists. In both, the first item may leave out
its key, when the option has an implied one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from backcheck_engine.errors import OptionError
from backcheck_engine.identifier import is_identifier
from backcheck_engine.json_value import JsonObject, JsonValue

_SMALL_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_KEY_COMPONENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|[0-9]+|__[A-Za-z0-9.-]+_[A-Za-z0-9_-]+", re.ASCII)
_ID_HINT: Final = "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."


class Item(NamedTuple):
    """One `key=value`; `is_flag` when the value was left out."""

    key: str
    value: str
    is_flag: bool = False


def split(text: str) -> Iterator[str]:
    """The items between single commas, with `,,` kept."""
    start = position = 0
    while position < len(text):
        if text[position] == ",":
            if text[position + 1 : position + 2] == ",":
                position += 2
                continue
            yield text[start:position]
            start = position + 1
        position += 1
    if start < len(text):
        yield text[start:]


def parse_flat(text: str, implied: str | None = None) -> list[Item]:
    """The items of a flat option, in order."""
    items = []
    for position, part in enumerate(split(text)):
        key, separator, value = part.partition("=")
        if separator and ",," not in key:
            items.append(Item(key, value.replace(",,", ",")))
        elif position == 0 and implied is not None:
            items.append(Item(implied, part.replace(",,", ",")))
        elif part.startswith("no") and len(part) > 2:
            items.append(Item(part[2:], "off", is_flag=True))
        else:
            items.append(Item(part.replace(",,", ","), "on", is_flag=True))
    return items


def parse_nested(text: str, implied: str | None = None) -> JsonObject:
    """The tree of a nested option; all leaves are strings. Raises OptionError in QEMU's words."""
    tree: JsonObject = {}
    for position, part in enumerate(split(text)):
        key, separator, value = part.partition("=")
        if separator:
            _insert(tree, key, value.replace(",,", ","))
        elif part in ("help", "?"):
            raise OptionError("Help is not available for this option")
        elif position == 0 and implied is not None and ",," not in part:
            tree[implied] = part
        elif ",," in part or not _KEY_COMPONENT.match(part):
            raise OptionError("Invalid parameter ''")
        else:
            raise OptionError(f"Expected '=' after parameter '{key}'")
    return {key: _listed(value, key) for key, value in tree.items()}


def check_identifier(name: str, parameter: str = "id") -> None:
    """Raise OptionError unless `name` is one that QEMU accepts for an object."""
    if not is_identifier(name):
        error = OptionError(f"Parameter '{parameter}' expects an identifier")
        error.hint = _ID_HINT
        raise error


def _insert(tree: JsonObject, key: str, value: str) -> None:
    components = key.split(".")
    for component in components:
        if not _KEY_COMPONENT.fullmatch(component):
            shown = "" if not component or ",," in key else key
            raise OptionError(f"Invalid parameter '{shown}'")
    for position, component in enumerate(components[:-1]):
        below = tree.setdefault(component, {})
        if not isinstance(below, dict):
            raise OptionError(f"Parameters '{'.'.join(components[: position + 1])}.*' used inconsistently")
        tree = below
    if isinstance(tree.get(components[-1]), dict):
        raise OptionError(f"Parameters '{key}.*' used inconsistently")
    tree[components[-1]] = value


def _listed(value: JsonValue, path: str) -> JsonValue:
    """The same tree, with each object whose keys are numbers turned into a list."""
    if not isinstance(value, dict):
        return value
    inner: JsonObject = {key: _listed(below, f"{path}.{key}") for key, below in value.items()}
    items = {number: value for key, value in inner.items() if (number := small_number(key)) is not None}
    if not items:
        return inner
    if len(items) < len(inner):
        raise OptionError(f"Parameters '{path}.*' used inconsistently")
    for expected, number in enumerate(sorted(items)):
        if number != expected:
            raise OptionError(f"Parameter '{path}.{expected}' missing")
    return [items[number] for number in sorted(items)]


def small_number(text: str) -> int | None:
    """The number that a text of one to nine digits is; None for any other text."""
    return int(text) if _SMALL_NUMBER.fullmatch(text) else None
