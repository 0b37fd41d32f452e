"""What is known about an image and the nodes below it, as QAPI's BlockGraphInfo. No text is made here."""

from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.image_facts import full_backing_filename, image_facts
from backcheck_engine.json_value import JsonObject

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

__all__ = ["full_backing_filename", "image_info"]


def image_info(node: "Node") -> JsonObject:
    """The facts about a node, and, since 8.0, about each of its children under `children`."""
    info = image_facts(node)
    if release.current() > release.QEMU_7_2:
        info["children"] = [
            {"name": child.name, "info": image_info(child.node)} for child in reversed(list(node.children.values()))
        ]
    return info
