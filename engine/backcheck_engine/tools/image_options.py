"""What an image is called on a command line: a filename, or with --image-opts a list of options. Pure functions.

Also the names of cache and discard modes, as all QEMU programs spell them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backcheck_engine import release
from backcheck_engine.errors import OptionError
from backcheck_engine.json_value import JsonObject

_ITEM: Final = re.compile(r"((?:[^,]|,,)*)(?:,|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMode:
    """How an image's data is cached."""

    direct: bool = False
    no_flush: bool = False
    writethrough: bool = False

    def as_options(self) -> JsonObject:
        """The mode as options of a node."""
        options: JsonObject = {}
        if self.direct:
            options["cache.direct"] = "on"
        if self.no_flush:
            options["cache.no-flush"] = "on"
        return options


CACHE_MODES: Final = {
    "none": CacheMode(direct=True),
    "off": CacheMode(direct=True),
    "directsync": CacheMode(direct=True, writethrough=True),
    "writeback": CacheMode(),
    "unsafe": CacheMode(no_flush=True),
    "writethrough": CacheMode(writethrough=True),
}
OBJECT_TYPES: Final = (
    "iothread",
    "secret",
    "secret_keyring",
    "throttle-group",
    "tls-creds-anon",
    "tls-creds-psk",
    "tls-creds-x509",
)
DISCARD_MODES: Final = {"off": "ignore", "ignore": "ignore", "on": "unmap", "unmap": "unmap"}


def parse_options(text: str, implied_key: str | None = None) -> JsonObject:
    """`a=b,c.d=e` as flat options; a comma in a value is doubled, the first word may be the value of `implied_key`.

    A key without a value is on, and one that starts with "no" and has no value is off, as QEMU's short forms.
    Raises OptionError for a text that is no such list.
    """
    options: JsonObject = {}
    position = 0
    while position < len(text):
        match = _ITEM.match(text, position)
        assert match is not None
        item = match[1]
        key, equals, value = item.partition("=")
        if equals:
            options[key] = value.replace(",,", ",")
        elif implied_key is not None and not position:
            options[implied_key] = item.replace(",,", ",")
        elif not item:
            raise OptionError("Expected parameter before ','")
        elif item.startswith("no"):
            options[item.removeprefix("no")] = "off"
        else:
            options[item] = "on"
        position = match.end()
    return options


def check_objects(objects: Sequence[str]) -> None:
    """Raise OptionError for an --object of a kind that no QEMU tool has; the others are not needed here."""
    for text in objects:
        kind = text.split(",", 1)[0].removeprefix("qom-type=")
        if kind not in OBJECT_TYPES:
            raise OptionError(
                f"invalid object type: {kind}"
                if release.current() < release.QEMU_7_2
                else f"Parameter 'qom-type' does not accept value '{kind}'"
            )


def short_forms(text: str) -> list[str]:
    """The items of an option list that have no value, which QEMU deprecates."""
    return [item[1] for item in _ITEM.finditer(text) if item[1] and "=" not in item[1]]
