"""backcheck-img info: what an image is, alone or with its whole backing chain."""

from dataclasses import replace
from typing import TYPE_CHECKING

from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.image_info import full_backing_filename, image_info
from backcheck_engine.tools.image_info_text import info_text
from backcheck_engine.tools.images import ImageName, opened_images
from backcheck_engine.tools.json_text import json_text
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.usage import FORCE_SHARE, FORMAT, IMAGE_OPTS, OBJECT, OUTPUT, Invocation

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

USAGE = "[-f FMT | --image-opts] [-b] [-U] [--output human|json] FILENAME"
OPTIONS = (
    FORMAT,
    IMAGE_OPTS,
    Option(long="backing-chain", short="b", help="show the images below it too"),
    FORCE_SHARE,
    OUTPUT,
    OBJECT,
)


async def run(invocation: Invocation) -> int:
    """Print what is known about the image; all images are looked at before anything is printed."""
    given = invocation.given
    as_json = invocation.output_is_json()
    (filename,) = invocation.operands(1, "Expecting one image file name")
    invocation.check_image_options("format")
    name = ImageName(
        text=filename,
        is_options=given.has("image-opts"),
        format=given.last("format"),
        force_share=given.has("force-share"),
        no_backing=True,
        no_io=True,
    )
    chain = given.has("backing-chain")
    infos = await _chain(name) if chain else [await _single(name)]
    if as_json:
        value: JsonValue = list(infos) if chain else infos[0]
        invocation.program.say(json_text(value))
    else:
        invocation.program.say("\n\n".join(info_text(info) for info in infos))
    return 0


async def _single(name: ImageName) -> JsonObject:
    async with opened_images() as images:
        backend = await images.open(name)
        return image_info(backend.inserted_node())


async def _chain(name: ImageName) -> list[JsonObject]:
    """The image and those below it, each opened by itself, so that a missing one is named."""
    infos: list[JsonObject] = []
    seen: set[str] = set()
    below: ImageName | None = name
    while below is not None:
        if below.text in seen:
            raise ToolError(f"Backing file '{below.text}' creates an infinite loop.")
        seen.add(below.text)
        async with opened_images() as images:
            node = (await images.open(below)).inserted_node()
            infos.append(image_info(node))
            below = _below(node, name)
    return infos


def _below(node: "Node", name: ImageName) -> ImageName | None:
    """The backing image's name, or None at the end of the chain."""
    if not node.backing_file:
        return None
    full = full_backing_filename(node)
    if full is None:
        return None
    return replace(name, text=full, is_options=False, format=node.backing_format or None)
