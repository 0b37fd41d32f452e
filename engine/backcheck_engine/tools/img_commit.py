"""backcheck-img commit: an overlay's content written into an image below it."""

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.image_info import full_backing_filename
from backcheck_engine.tools.image_options import CACHE_MODES
from backcheck_engine.tools.images import ImageName, Images, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.progress import Progress
from backcheck_engine.tools.usage import (
    FORMAT,
    IMAGE_OPTS,
    OBJECT,
    PROGRESS,
    QUIET,
    Invocation,
    size_argument,
)

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

USAGE = "[-f FMT | --image-opts] [-t CACHE_MODE] [-b BASE_IMG] [-d] [-r RATE] [-p] [-q] FILENAME"
OPTIONS = (
    QUIET,
    PROGRESS,
    FORMAT,
    IMAGE_OPTS,
    Option(long="cache", short="t", value="CACHE_MODE", help="how the images are cached (writeback)"),
    Option(long="drop", short="d", help="leave the overlay as it is, rather than emptying it"),
    Option(long="base", short="b", value="BASE_IMG", help="the image to commit to, rather than the next; implies -d"),
    Option(long="rate", short="r", value="RATE", help="accepted; the content is copied at full speed"),
    OBJECT,
)
PIECE: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One image of the chain, as it will be opened again."""

    name: str
    recorded_name: str
    """What the overlay above calls it."""
    format: str


async def run(invocation: Invocation) -> int:
    """Find the base in the chain, open the chain on a writable base, copy, and empty the overlay."""
    given = invocation.given
    cache = given.last("cache") or "writeback"
    if cache not in CACHE_MODES:
        raise ToolError(f"Invalid cache option: {cache}")
    rate = given.last("rate")
    if rate is not None:
        size_argument(rate, "rate limit")
    (filename,) = invocation.operands(1, "Expecting one image file name")
    invocation.check_image_options("format")
    name = ImageName(
        text=filename,
        is_options=given.has("image-opts"),
        format=given.last("format"),
        cache=CACHE_MODES[cache],
        writable=True,
        discard=True,
    )
    base_name = given.last("base")
    layers = await _layers_down_to(name, base_name)
    progress = Progress(invocation.program, enabled=given.has("progress") and not invocation.quiet)
    try:
        async with opened_images() as images:
            base, top = await _open_chain(images, name, layers)
            await _copy(top, base, progress)
            if base_name is None and not given.has("drop"):
                await _empty(top, filename)
            progress.show(1, 1)
    finally:
        progress.end()
    invocation.say("Image committed.")
    return 0


async def _layers_down_to(name: ImageName, base_name: str | None) -> list[Layer]:
    """The images below the overlay, the next first and the base last. Raises ToolError when it is not there."""
    async with opened_images() as images:
        top = (await images.open(name)).inserted_node()
        layers: list[Layer] = []
        above, below = top, top.overlaid
        while below is not None:
            node = below.skip_filters()
            full = full_backing_filename(above) or node.filename
            layers.append(Layer(name=full, recorded_name=above.backing_file, format=node.format_name))
            if base_name is None or base_name in (full, above.backing_file):
                return layers
            above, below = node, node.overlaid
    if base_name is None:
        raise ToolError("Image does not have a backing file")
    raise ToolError(f"Did not find '{base_name}' in the backing chain of '{name.text}'")


async def _open_chain(images: Images, name: ImageName, layers: list[Layer]) -> tuple[BlockBackend, BlockBackend]:
    """Backends on the base, to be written and resized, and on the overlay, which stands on it."""
    lowest = layers[-1]
    base = await images.open(
        ImageName(text=lowest.name, format=lowest.format, cache=name.cache, writable=True, resizable=True, discard=True)
    )
    below = base.inserted_node().node_name
    opened: list[Node] = []
    try:
        for layer in reversed(layers[:-1]):
            node = await images.open_node(
                ImageName(text=layer.name, format=layer.format, extra_options={"backing": below})
            )
            opened.append(node)
            below = node.node_name
        top = await images.open(_on_top_of(name, below))
    finally:
        for node in opened:
            await node.unref()
    return base, top


def _on_top_of(name: ImageName, backing: str) -> ImageName:
    return replace(name, extra_options={**name.extra_options, "backing": backing})


async def _copy(top: BlockBackend, base: BlockBackend, progress: Progress) -> None:
    """Write into the base what the images above it decide. Raises ToolError."""
    upper, lower = top.inserted_node(), base.inserted_node()
    size = upper.size
    try:
        if lower.size < size:
            await base.truncate(size, exact=False)
        base.set_permissions(Permission.CONSISTENT_READ | Permission.WRITE, Permission.ALL)
        offset = 0
        while offset < size:
            allocated, length = await upper.is_allocated_above(lower, False, offset, size - offset)
            if allocated:
                length = await _copy_some(top, base, offset, length)
            offset += length
            progress.show(offset, size)
        await base.flush()
    except BlockError as error:
        raise ToolError(f"Block job failed: {error}") from error


async def _copy_some(top: BlockBackend, base: BlockBackend, offset: int, length: int) -> int:
    """Copy the beginning of a range; returns how much of it."""
    status = await top.inserted_node().block_status_above(None, offset, length)
    if status.zero:
        await base.pwrite_zeroes(offset, status.length, RequestFlag.MAY_UNMAP)
        return status.length
    length = min(status.length, PIECE)
    await base.pwrite(offset, await top.pread(offset, length))
    return length


async def _empty(top: BlockBackend, filename: str) -> None:
    """Take out of the overlay what its backing has now, where its format can do that."""
    try:
        await top.inserted_node().driver.make_empty()
    except BlockError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise ToolError(f"Could not empty {filename}: {error}") from error
