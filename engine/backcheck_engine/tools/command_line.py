"""Options of a command line as getopt_long takes them: any order, clusters, unambiguous beginnings of long names.

Pure functions. Which options there are is data of each program.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backcheck_engine.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: `long` without dashes, or a letter, or both."""

    long: str = ""
    short: str = ""
    value: str = ""
    """What its value is called; '' for a flag."""
    help: str
    since: Release | None = None
    """The first release that has it, where not all have."""

    @property
    def key(self) -> str:
        """What the option is known by after parsing."""
        return self.long or self.short


@dataclass(slots=True)
class Given:
    """What a command line gave."""

    values: dict[str, list[str]] = field(default_factory=dict)
    sequence: list[tuple[str, str]] = field(default_factory=list)
    """(key, value) of the options as they came."""
    operands: list[str] = field(default_factory=list)

    def add(self, key: str, value: str) -> None:
        """Take one use of an option."""
        self.values.setdefault(key, []).append(value)
        self.sequence.append((key, value))

    def has(self, key: str) -> bool:
        """Whether the option was given."""
        return key in self.values

    def last(self, key: str) -> str | None:
        """The value of the option's last use, or None."""
        return self.values[key][-1] if key in self.values else None

    def all(self, key: str) -> Sequence[str]:
        """The values of all its uses."""
        return self.values.get(key, [])


class CommandLineError(ValueError):
    """An option that does not exist, lacks its value, or takes none; the message is getopt's."""


class MissingValue(CommandLineError):
    """The last word is an option that takes a value."""

    def __init__(self, message: str, word: str) -> None:
        super().__init__(message)
        self.word = word


class UnknownOption(CommandLineError):
    """There is no such option."""

    def __init__(self, message: str, word: str) -> None:
        super().__init__(message)
        self.word = word


def parse(arguments: Sequence[str], options: Sequence[Option], *, stop_at_operand: bool = False) -> Given:
    """Options and operands of `arguments`. Raises CommandLineError."""
    given = Given()
    by_letter = {option.short: option for option in options if option.short}
    by_name = {option.long: option for option in options if option.long}
    words = iter(arguments)
    for word in words:
        if word == "--":
            given.operands += words
        elif word.startswith("--"):
            _take_long(word, by_name, words, given)
        elif word.startswith("-") and word != "-":
            _take_letters(word, by_letter, words, given)
        else:
            given.operands.append(word)
            if stop_at_operand:
                given.operands += words
    return given


def _take_long(word: str, options: Mapping[str, Option], words: Iterator[str], given: Given) -> None:
    name, equals, value = word[2:].partition("=")
    option = options.get(name) or _completed(word, name, options)
    if not option.value:
        if equals:
            raise CommandLineError(f"option '--{option.long}' doesn't allow an argument")
        value = ""
    elif not equals:
        following = next(words, None)
        if following is None:
            raise MissingValue(f"option '--{option.long}' requires an argument", word)
        value = following
    given.add(option.key, value)


def _completed(word: str, name: str, options: Mapping[str, Option]) -> Option:
    possible = [known for known in options if known.startswith(name)]
    if not possible:
        raise UnknownOption(f"unrecognized option '--{name}'", word)
    if len(possible) > 1:
        listed = " ".join(f"'--{known}'" for known in possible)
        raise UnknownOption(f"option '--{name}' is ambiguous; possibilities: {listed}", word)
    return options[possible[0]]


def _take_letters(word: str, options: Mapping[str, Option], words: Iterator[str], given: Given) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = options.get(letter)
        if option is None:
            raise UnknownOption(f"invalid option -- '{letter}'", word)
        if not option.value:
            given.add(option.key, "")
            continue
        value = letters or next(words, None)
        if value is None:
            raise MissingValue(f"option requires an argument -- '{letter}'", word)
        given.add(option.key, value)
        return
