"""Filenames as text: protocol prefixes, json: names, and names relative to an image."""

from backcheck_engine import release
from backcheck_engine.block.options import flatten
from backcheck_engine.errors import BlockError, OptionError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.qapi.json_parser import JsonError, parse_text

JSON_PREFIX = "json:"


def protocol_of(filename: str) -> str | None:
    """What stands before a colon that comes before any slash: "nbd" for "nbd:host", None for "/a:b"."""
    colon = filename.find(":")
    slash = filename.find("/")
    return filename[:colon] if colon >= 0 and (slash < 0 or colon < slash) else None


def is_absolute(filename: str) -> bool:
    """Whether the name, or what follows its protocol, starts with a slash."""
    protocol = protocol_of(filename)
    return (filename if protocol is None else filename[len(protocol) + 1 :]).startswith("/")


def combine(base: str, filename: str) -> str:
    """`filename`, when it is relative, in the folder of the file `base`; the protocol of `base` is kept."""
    if is_absolute(filename):
        return filename
    protocol = protocol_of(base)
    slash = base.rfind("/")
    end = max(slash + 1, 0 if protocol is None else len(protocol) + 1)
    return base[:end] + filename


def relative_to_image(base: str, filename: str) -> str:
    """A backing file's recorded name as a name to open, for the image with the exact filename `base` ('' if none)."""
    if protocol_of(filename) is not None or is_absolute(filename):
        return filename
    if not base:
        raise BlockError("Cannot generate a base directory for this node")
    return combine(base, filename)


def parse_json_filename(filename: str) -> JsonObject:
    """The options, flat, that a name starting with "json:" holds. Raises OptionError in QEMU's words."""
    try:
        tree = parse_text(filename[len(JSON_PREFIX) :], release.current())
    except JsonError as error:
        raise OptionError(f"Could not parse the JSON options: {error.message}") from error
    if not isinstance(tree, dict):
        raise OptionError("Invalid JSON object given")
    return flatten(tree)
