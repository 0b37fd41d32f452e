"""What is known about an image, as qemu-img prints it for people. Pure functions on BlockGraphInfo."""

from collections.abc import Iterator
from typing import cast

from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.qemu_io.image_text import image_lines

_STEP = 4


def info_text(info: JsonObject) -> str:
    """The lines about an image and the nodes below it."""
    return "\n".join(_graph_lines(info, ""))


def _graph_lines(info: JsonObject, path: str) -> Iterator[str]:
    yield from image_lines(info, is_protocol=path != "" and not info.get("children"))
    for child in _objects(info.get("children")):
        below = f"{path}/{child['name']}"
        yield f"Child node '{below}':"
        for line in _graph_lines(cast("JsonObject", child["info"]), below):
            yield " " * _STEP + line


def _objects(value: JsonValue) -> list[JsonObject]:
    return cast("list[JsonObject]", value or [])
