"""`qemu-img create` and the target of drive-backup: an image by filename, format and text options."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.filenames import relative_to_image
from backcheck_engine.block.options import bad_choice
from backcheck_engine.block.probing import RAW
from backcheck_engine.drivers.creation.options import CreateOptions
from backcheck_engine.drivers.creation.registry import (
    check_names,
    check_protocol,
    create_options,
    format_creator,
    is_known_format,
)
from backcheck_engine.errors import BlockError, EngineError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.json_value import JsonObject


_WITHOUT_FORMAT: Final = "Backing file specified without backing format"


async def create_image(
    graph: Graph,
    filename: str,
    format_name: str,
    *,
    size: int | None = None,
    backing_file: str | None = None,
    backing_format: str | None = None,
    options: Mapping[str, str] | None = None,
    quiet: bool = False,
    out: Callable[[str], None] = print,
    warn: Callable[[str], None] | None = None,
    open_backing: bool = True,
) -> None:
    """Make an image and, unless `quiet`, give `out` the line "Formatting '…', fmt=…" (without a newline) before that.

    `options` are texts. Without `size` the backing file's size counts; `open_backing` off leaves the backing file
    unlooked at. `warn` is given warnings without a program's name.
    Raises BlockError or OptionError in QEMU's words, with what a tool prints below as the error's `hint`.
    """
    check_names(format_name, filename)
    _, create = format_creator(format_name)
    check_protocol(filename)
    values = CreateOptions(create_options(format_name, filename))
    values.take(options or {})
    _set_common(values, format_name, size=size, backing_file=backing_file, backing_format=backing_format)
    backing = values.text("backing_file")
    if backing is not None:
        _check_backing_name(backing, filename)
        if open_backing:
            await _look_at_backing(graph, filename, backing, values, warn)
        elif values.text("backing_fmt") is None:
            _unopened_without_format(warn)
    if not values.is_given("size"):
        raise BlockError("Image creation needs a size parameter", errno.EINVAL)
    if not quiet:
        out(f"Formatting '{filename}', fmt={format_name} {values.printed()}")
    _check_backing_format(format_name, values)
    try:
        await create(graph, filename, values)
    except BlockError as error:
        if error.errno != errno.EFBIG:
            raise
        hint = " (try using a larger cluster size)" if values.number("cluster_size") else ""
        raise BlockError(f"The image size is too large for file format '{format_name}'{hint}", errno.EFBIG) from error


def _set_common(
    values: CreateOptions,
    format_name: str,
    *,
    size: int | None,
    backing_file: str | None,
    backing_format: str | None,
) -> None:
    """Enter what has a parameter of its own beside the options."""
    if size is not None:
        if values.is_given("size"):
            raise OptionError("The image size must be specified only once")
        values.set("size", size)
    if backing_file is not None:
        if "backing_file" not in values:
            raise BlockError(f"Backing file not supported for file format '{format_name}'", errno.EINVAL)
        values.set("backing_file", backing_file)
    if backing_format is not None:
        if "backing_fmt" not in values:
            raise BlockError(f"Backing format not supported for file format '{format_name}'", errno.EINVAL)
        values.set("backing_fmt", backing_format)


def _check_backing_name(backing: str, filename: str) -> None:
    if backing == filename:
        raise BlockError("Error: Trying to create an image with the same filename as the backing file", errno.EINVAL)
    if not backing:
        raise BlockError("Expected backing file name, got empty string", errno.EINVAL)


def _check_backing_format(format_name: str, values: CreateOptions) -> None:
    """Refuse a backing format of which nobody has heard, for formats that take any other."""
    kind = values.text("backing_fmt") if "backing_fmt" in values else None
    if kind is None or format_name == "vmdk" or is_known_format(kind):
        return
    if format_name == "qcow":
        raise BlockError(f"unrecognized backing format '{kind}'", errno.EINVAL)
    raise bad_choice("backing-fmt", kind)


async def _look_at_backing(
    graph: Graph, filename: str, backing: str, values: CreateOptions, warn: Callable[[str], None] | None
) -> None:
    """Open the backing file with its own chain to see that all is there, what its format is, and how large it is.

    That it is in use elsewhere does not matter: nothing of its content is read.
    """
    from backcheck_engine.block.opening import open_node

    kind = values.text("backing_fmt")
    tree: JsonObject = {"force-share": True} if kind is None else {"force-share": True, "driver": kind}
    name = relative_to_image(filename, backing)
    try:
        node = await open_node(graph, tree, filename=name, read_only=True)
    except EngineError as error:
        refused = BlockError(error.message, error.errno)
        refused.hint = "Could not open backing image."
        raise refused from error
    try:
        if kind is None:
            _without_format(node.format_name, values, warn)
        if not values.is_given("size"):
            values.set("size", node.size)
    finally:
        await node.unref()


def _without_format(detected: str, values: CreateOptions, warn: Callable[[str], None] | None) -> None:
    """A backing file without a format: an error since 6.1; before, a warning, and what was detected if not raw."""
    if release.current() >= release.QEMU_7_2:
        raise BlockError(_WITHOUT_FORMAT, errno.EINVAL, hint=f"Detected format of {detected}.")
    if warn is not None:
        warn(f"Deprecated use of backing file without explicit backing format (detected format of {detected})")
    if detected != RAW:
        values.set("backing_fmt", detected)


def _unopened_without_format(warn: Callable[[str], None] | None) -> None:
    """The same where nobody looks at the backing file."""
    if release.current() >= release.QEMU_7_2:
        raise BlockError(_WITHOUT_FORMAT, errno.EINVAL)
    if warn is not None:
        warn(
            "Deprecated use of unopened backing file without explicit backing format, "
            "use of this image requires potentially unsafe format probing"
        )
