"""-object: which types of objects there are, and their properties. What they do is in `monitor/user_objects`."""

from __future__ import annotations

from typing import Final

from backcheck_engine.commandline.errors import HelpRequested
from backcheck_engine.commandline.settings import ObjectSettings
from backcheck_engine.commandline.syntax import check_identifier, parse_nested
from backcheck_engine.errors import OptionError
from backcheck_engine.json_value import JsonObject
from backcheck_engine.release import QEMU_7_2, Release

_THROTTLE_KINDS: Final = ("total", "read", "write")
_THROTTLE_PROPERTIES: Final = (
    "x-iops-size",
    *(
        f"x-{unit}-{kind}{suffix}"
        for unit in ("iops", "bps")
        for kind in _THROTTLE_KINDS
        for suffix in ("", "-max", "-max-length")
    ),
)
_EVENT_LOOP_PROPERTIES: Final = ("aio-max-batch", "thread-pool-min", "thread-pool-max")
_NUMBERS: Final = (*_THROTTLE_PROPERTIES, *_EVENT_LOOP_PROPERTIES, "poll-max-ns", "poll-grow", "poll-shrink")
_PROPERTIES: Final[dict[str, tuple[str, ...]]] = {
    "iothread": (*_EVENT_LOOP_PROPERTIES, "poll-max-ns", "poll-grow", "poll-shrink"),
    "main-loop": _EVENT_LOOP_PROPERTIES,
    "secret": ("data", "file", "format", "keyid", "iv", "loaded"),
    "throttle-group": ("limits", *_THROTTLE_PROPERTIES),
}


def parse_object(given: str | JsonObject, location: str, release: Release) -> ObjectSettings:
    """One -object, as text or as JSON. Raises OptionError in QEMU's words, or HelpRequested."""
    if isinstance(given, str):
        if given.split(",")[0] in ("help", "?"):
            raise HelpRequested("List of user creatable objects:\n" + "".join(f"  {name}\n" for name in _PROPERTIES))
        given = parse_nested(given, "qom-type")
    properties = dict(given)
    type_name = properties.pop("qom-type", None)
    if type_name is None:
        raise OptionError("Parameter 'qom-type' is missing")
    if not isinstance(type_name, str) or type_name not in _PROPERTIES:
        old = f"invalid object type: {type_name}"
        raise OptionError(old if release < QEMU_7_2 else f"Parameter 'qom-type' does not accept value '{type_name}'")
    name = properties.pop("id", None)
    if not isinstance(name, str):
        raise OptionError("Parameter 'id' is missing")
    check_identifier(name)
    _check_properties(type_name, properties, release)
    return ObjectSettings(type_name, name, properties, location)


def _check_properties(type_name: str, properties: JsonObject, release: Release) -> None:
    for key, value in properties.items():
        if key not in _PROPERTIES[type_name]:
            old = f"Property '{type_name}.{key}' not found"
            raise OptionError(old if release < QEMU_7_2 else f"Invalid parameter '{key}'")
        if key in _NUMBERS and isinstance(value, str) and not value.lstrip("-").isdecimal():
            raise OptionError(f"Parameter '{key}' expects an int64 value")
