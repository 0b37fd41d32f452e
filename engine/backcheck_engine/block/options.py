"""Options of one node as its driver consumes them: what is left over at the end was not understood.

Values come typed from JSON or as strings from a command line; each `take_*` accepts both. Keys of nested options are
held flat ("file.filename"), as users write them. Nothing here knows which options exist.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from backcheck_engine import release
from backcheck_engine.errors import OptionError
from backcheck_engine.json_value import JsonObject, JsonValue

_SIZE = re.compile(r"\s*(\d+|0[xX][0-9a-fA-F]+)(\.\d*)?([bBkKmMgGtTpPeE]?)", re.ASCII)
_SUFFIXES = "bkmgtpe"
_MOST_DIGITS = 4000
"""Python refuses to convert longer numbers, and they are too large anyway."""
_BOOLEANS = dict.fromkeys(("on", "yes", "true", "y"), True) | dict.fromkeys(("off", "no", "false", "n"), False)


def flatten(tree: JsonObject) -> JsonObject:
    """Nested objects and lists as one level with dotted keys; empty ones and nulls stay what they are."""
    return dict(_flat_items(tree.items(), ""))


def _flat_items(items: Iterable[tuple[str, JsonValue]], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    for key, value in items:
        name = prefix + key
        if isinstance(value, dict) and value:
            yield from _flat_items(value.items(), f"{name}.")
        elif isinstance(value, list) and value:
            yield from _flat_items(((str(index), item) for index, item in enumerate(value)), f"{name}.")
        else:
            yield name, value


def parse_bool(name: str, value: JsonValue) -> bool:
    """A boolean, or "on"/"off". Raises OptionError in QEMU's words."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _BOOLEANS:
        return _BOOLEANS[value]
    raise OptionError(f"Parameter '{name}' expects 'on' or 'off'")


def parse_number(name: str, value: JsonValue) -> int:
    """A number from 0 to 2^64-1, to which negative ones wrap; digits, 0x… or 0… as in C. Raises OptionError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value % 2**64
    if isinstance(value, str):
        text = value.strip()
        try:
            number = int(text, 8) if re.fullmatch(r"[+-]?0\d+", text) else int(text, 0)
        except ValueError:
            pass
        else:
            if abs(number) < 2**64:
                return number % 2**64
            raise OptionError(f"Value '{value}' is too large for parameter '{name}'")
    raise OptionError(f"Parameter '{name}' expects a number")


def parse_size(name: str, value: JsonValue) -> int:
    """A number of bytes: an integer, or digits with a fraction and a suffix out of bkMGTPE.

    Raises OptionError in QEMU's words.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        error = OptionError(f"Parameter '{name}' expects a non-negative number below 2^64")
        error.hint = (
            "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
        )
        raise error
    digits, fraction, suffix = match.groups()
    shift = 10 * _SUFFIXES.index((suffix or "b").lower())
    is_hexadecimal = digits.lower().startswith("0x")
    if len(digits) > _MOST_DIGITS and not is_hexadecimal:
        raise _out_of_range(name, value)
    size = int(digits, 0 if is_hexadecimal else 10) << shift
    if fraction and fraction != ".":
        size += int((1 << shift) * float(f"0{fraction}"))
    if size >= 2**64:
        raise _out_of_range(name, value)
    return size


def _out_of_range(name: str, value: JsonValue) -> OptionError:
    return OptionError(f"Value '{value}' is out of range for parameter '{name}'")


def bad_choice(name: str, value: JsonValue) -> OptionError:
    """The error for a value that an enumeration does not have."""
    shown = value if isinstance(value, str) else str(value)
    if release.current() < release.QEMU_7_2:
        return OptionError(f"Invalid parameter '{shown}'")
    return OptionError(f"Parameter '{name}' does not accept value '{shown}'")


class Options:
    """A consuming view of one node's options; what `take_*` has returned is gone from it."""

    __slots__ = ("_values",)

    def __init__(self, tree: JsonObject | None = None) -> None:
        self._values = flatten(tree) if tree else {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> Sequence[str]:
        """The keys not consumed yet, flat."""
        return list(self._values)

    def as_flat(self) -> JsonObject:
        """A copy of what is left, flat."""
        return dict(self._values)

    def peek(self, name: str) -> JsonValue:
        """The value without consuming it; None when there is none (and for a null)."""
        return self._values.get(name)

    def set_default(self, name: str, value: JsonValue) -> None:
        """Give `name` a value unless it has one."""
        self._values.setdefault(name, value)

    def set(self, name: str, value: JsonValue) -> None:
        """Give `name` a value."""
        self._values[name] = value

    def take(self, name: str) -> JsonValue:
        """The value as it came, or None."""
        return self._values.pop(name, None)

    def take_null(self, name: str) -> bool:
        """Whether `name` was given as null, which is consumed, and is not the same as not given."""
        if name in self._values and self._values[name] is None:
            del self._values[name]
            return True
        return False

    def take_str(self, name: str, default: str | None = None) -> str | None:
        """A string, or `default`."""
        value = self._values.pop(name, None)
        if value is None:
            return default
        if isinstance(value, bool):
            return "on" if value else "off"
        return str(value)

    def take_text(self, name: str) -> str | None:
        """A string; a value of another type is none, and stays where it is."""
        return str(self._values.pop(name)) if isinstance(self._values.get(name), str) else None

    def take_bool(self, name: str, default: bool = False) -> bool:
        """A boolean, or `default`."""
        value = self._values.pop(name, None)
        return default if value is None else parse_bool(name, value)

    def take_int(self, name: str, default: int = 0) -> int:
        """A number, or `default`."""
        value = self._values.pop(name, None)
        return default if value is None else parse_number(name, value)

    def take_size(self, name: str, default: int = 0) -> int:
        """A size in bytes, or `default`."""
        value = self._values.pop(name, None)
        return default if value is None else parse_size(name, value)

    def take_enum(self, name: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`, or `default`."""
        value = self._values.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            raise bad_choice(name, value)
        return value

    def take_list(self, name: str) -> list["Options"]:
        """The objects `name.0`, `name.1`, …, each as options."""
        items: list[Options] = []
        while children := self.children(f"{name}.{len(items)}"):
            items.append(children)
        return items

    def take_str_list(self, name: str) -> list[str]:
        """The strings `name.0`, `name.1`, …."""
        items: list[str] = []
        while (item := self.take_str(f"{name}.{len(items)}")) is not None:
            items.append(item)
        return items

    def children(self, name: str) -> "Options":
        """The options below `name`, consumed here, without the prefix."""
        prefix = f"{name}."
        nested = Options()
        for key in [key for key in self._values if key.startswith(prefix)]:
            nested._values[key[len(prefix) :]] = self._values.pop(key)
        return nested
