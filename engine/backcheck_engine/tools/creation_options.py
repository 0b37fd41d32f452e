"""Options for making an image as text: -o lists, and the help about them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine.tools.image_options import parse_options

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject

_HELP_WORDS = ("help", "?")


def asks_for_help(lists: Sequence[str]) -> bool:
    """Whether an item of the -o lists asks for help."""
    return any(item in _HELP_WORDS for text in lists for item in text.replace(",,", "").split(","))


def texts(lists: Sequence[str]) -> dict[str, str]:
    """The options of all -o lists, the last one of a name counting. Raises OptionError."""
    options: JsonObject = {}
    for text in lists:
        options.update(parse_options(text))
    return {key: str(value) for key, value in options.items()}


def help_text(format_name: str, filename: str | None) -> str:
    """What `-o help` shows. Raises BlockError or OptionError for a format that cannot be created."""
    from backcheck_engine.drivers.creation import create_options, help_lines

    lines = help_lines(create_options(format_name, filename))
    if filename is not None:
        return "\n".join(["Supported options:", *lines])
    return "\n".join(
        [
            f"Supported {format_name} options:",
            *lines,
            "",
            "The protocol level may support further options.",
            "Specify the target filename to include those options.",
        ]
    )
