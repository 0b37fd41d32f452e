"""Create options as text: which there are, what values they take, and how they are printed."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backcheck_engine.block.options import parse_bool, parse_number, parse_size
from backcheck_engine.errors import OptionError

Value = str | int | bool


class OptionKind(enum.Enum):
    """What an option's value is, by the name that QEMU's help gives it."""

    STRING = "str"
    BOOL = "bool (on/off)"
    NUMBER = "num"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOption:
    """One option of image creation."""

    name: str
    kind: OptionKind
    help: str
    default: str | None = None

    @property
    def help_line(self) -> str:
        """The line in the help of `-o help`."""
        return f"  {self.name}=<{self.kind.value}>".ljust(24) + f" - {self.help}"


def help_lines(options: Iterable[CreateOption]) -> list[str]:
    """The lines of `-o help`, sorted as QEMU sorts them."""
    return [option.help_line for option in sorted(options, key=lambda option: option.name)]


SIZE = CreateOption(name="size", kind=OptionKind.SIZE, help="Virtual disk size")

_SIZE_HINT = "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
_UNIMPLEMENTED_PREFIXES = ("encrypt.",)
_UNIMPLEMENTED = ("encryption",)


class CreateOptions:
    """Values for a table of options: those given, else the defaults."""

    def __init__(self, table: Sequence[CreateOption]) -> None:
        self._table = {option.name: option for option in table}
        self._given: dict[str, Value] = {}

    def take(self, given: Mapping[str, str]) -> None:
        """Accept options given as text. Raises OptionError in QEMU's words."""
        for name, text in given.items():
            self.set(name, text)

    def set(self, name: str, value: Value) -> None:
        """Set one option, from text or with a value of its kind."""
        option = self._table.get(name)
        if option is None:
            if name in _UNIMPLEMENTED or name.startswith(_UNIMPLEMENTED_PREFIXES):
                raise OptionError("backcheck-engine does not implement encrypted images yet")
            raise OptionError(f"Invalid parameter '{name}'")
        self._given[name] = _parse(option, value)

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def is_given(self, name: str) -> bool:
        """Whether the option was given, rather than left at its default."""
        return name in self._given

    def get(self, name: str) -> Value | None:
        """The option's value, or its default, or None."""
        if name in self._given:
            return self._given[name]
        option = self._table.get(name)
        if option is None or option.default is None:
            return None
        return _parse(option, option.default)

    def text(self, name: str) -> str | None:
        """A string option."""
        value = self.get(name)
        return None if value is None else str(value)

    def number(self, name: str) -> int:
        """A number or size; 0 when it has no value."""
        return int(self.get(name) or 0)

    def flag(self, name: str) -> bool:
        """A boolean; False when it has no value."""
        value = self.get(name)
        return value is not None and (value if isinstance(value, bool) else parse_bool(name, value))

    def printed(self) -> str:
        """The options that have a value, in the table's order, as the line "Formatting …" shows them."""
        shown = []
        for name, option in self._table.items():
            value = self.get(name)
            if value is None:
                continue
            if isinstance(value, bool):
                value = "on" if value else "off"
            elif option.kind is OptionKind.STRING:
                value = str(value).replace(",", ",,")
            shown.append(f"{name}={value}")
        return " ".join(shown)


def _parse(option: CreateOption, value: Value) -> Value:
    if option.kind is OptionKind.BOOL:
        return parse_bool(option.name, value)
    if option.kind is OptionKind.NUMBER:
        return parse_number(option.name, value)
    if option.kind is OptionKind.SIZE:
        return _parse_size(option.name, value)
    return value


def _parse_size(name: str, value: Value) -> int:
    try:
        return parse_size(name, value)
    except OptionError as error:
        if "out of range" in error.message:
            raise OptionError(f"Value '{value}' is too large for parameter '{name}'") from error
        refused = OptionError(f"Parameter '{name}' expects a non-negative number below 2^64")
        refused.hint = _SIZE_HINT
        raise refused from error


def merge_tables(*tables: Sequence[CreateOption]) -> tuple[CreateOption, ...]:
    """The tables one after the other; of options with the same name the first counts."""
    merged: dict[str, CreateOption] = {}
    for table in tables:
        for option in table:
            merged.setdefault(option.name, option)
    return tuple(merged.values())
