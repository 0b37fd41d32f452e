"""The names that a node shows: an exact filename where one opens it again, else json:{…} with what it takes."""

from typing import TYPE_CHECKING

from backcheck_engine.block.driver import DriverKind
from backcheck_engine.block.key_order import json_text
from backcheck_engine.json_value import JsonObject

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

MAX_FILENAME_BYTES = 1023
"""QEMU cuts a longer json: filename and ends it with three dots."""


def filename(node: "Node") -> str:
    """What QEMU shows as `filename`."""
    exact = exact_filename(node)
    if exact:
        return exact
    text = "json:" + json_text(full_open_options(node))
    return text if len(text) <= MAX_FILENAME_BYTES else text[: MAX_FILENAME_BYTES - 3] + "..."


def exact_filename(node: "Node") -> str:
    """A plain filename that opens this node again, with its children as they are, or ''."""
    own = node.driver.refresh_filename()
    if own is not None:
        return own
    primary = node.primary_child
    if primary is None or node.is_filter or not _is_protocol(primary.node):
        return ""
    if _strong_options(node) or backing_is_overridden(node):
        return ""
    return exact_filename(primary.node)


def directory_base(node: "Node") -> str:
    """The exact filename of the file at the bottom of the primary children, or ''."""
    while node.primary_child is not None:
        node = node.primary_child.node
    return exact_filename(node)


def backing_is_overridden(node: "Node") -> bool:
    """Whether the backing is another than the image itself asks for; it does not matter where nothing is read."""
    if node.no_io:
        return False
    if node.backing is not None:
        return node.auto_backing_file != filename(node.backing)
    return bool(node.auto_backing_file) and not node.no_io


def full_open_options(node: "Node") -> JsonObject:
    """The options that open this node again, with those of its children nested."""
    options = {"driver": node.driver.format_name} | _strong_options(node)
    given = node.options.get("filename")
    if given is not None:
        options["filename"] = given
    overridden = backing_is_overridden(node)
    by_image = node.driver.named_by_image
    for name, child in node.children.items():
        if by_image is not None and name.startswith(by_image):
            continue
        if name != "backing" or overridden:
            options[name] = full_open_options(child.node)
    if overridden and node.backing is None:
        options["backing"] = None
    return options


def _strong_options(node: "Node") -> JsonObject:
    """The options given to the node that change what a guest sees."""
    strong = node.driver.strong_options
    prefixes = tuple(name for name in strong if name.endswith("."))
    return {key: value for key, value in node.options.items() if key in strong or key.startswith(prefixes)}


def _is_protocol(node: "Node") -> bool:
    return node.driver.kind is DriverKind.PROTOCOL or node.driver.protocol_prefix is not None
