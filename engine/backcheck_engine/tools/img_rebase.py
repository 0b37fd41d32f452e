"""backcheck-img rebase: another backing file for an overlay, whose content stays the same unless -u is given."""

import asyncio
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.filenames import relative_to_image
from backcheck_engine.block.request import BlockStatus, Buffer
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.tools.command_line import Given, Option
from backcheck_engine.tools.image_options import CACHE_MODES, CacheMode
from backcheck_engine.tools.images import ImageName, Images, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.progress import Progress
from backcheck_engine.tools.usage import FORCE_SHARE, FORMAT, IMAGE_OPTS, OBJECT, PROGRESS, QUIET, Invocation
from backcheck_engine.tools.zero_search import differing_runs

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend
    from backcheck_engine.block.node import Node

USAGE = (
    '[-f FMT | --image-opts] [-t CACHE] [-b BACKING_FILENAME|"" [-F BACKING_FMT]] [-T BACKING_CACHE] [-u] [-c] [-p] '
    "[-q] [-U] FILENAME"
)
OPTIONS = (
    QUIET,
    PROGRESS,
    FORMAT,
    IMAGE_OPTS,
    Option(long="cache", short="t", value="CACHE", help="how FILENAME is cached (writeback)"),
    Option(long="backing", short="b", value='BACKING_FILENAME|""', help="the new backing file, or none"),
    Option(long="backing-format", short="F", value="BACKING_FMT", help="the format of that image"),
    Option(long="backing-cache", short="T", value="CACHE", help="how backing files are cached (writeback)"),
    Option(long="backing-unsafe", short="u", help="change the name only, whatever the images hold"),
    Option(long="compress", short="c", help="store compressed what has to be copied"),
    FORCE_SHARE,
    OBJECT,
)
PIECE: Final = 2 * 1024 * 1024


async def run(invocation: Invocation) -> int:
    """Copy what the new backing file would show otherwise, then record its name."""
    given = invocation.given
    backing, is_unsafe = given.last("backing"), given.has("backing-unsafe")
    cache = _cache(given, "cache", "Invalid cache option")
    backing_cache = _cache(given, "backing-cache", "Invalid source cache option")
    (filename,) = invocation.operands(1, "Expecting one image file name")
    if not is_unsafe and backing is None:
        raise invocation.misused("Must specify backing file (-b) or use unsafe mode (-u)")
    invocation.check_image_options("format")
    name = ImageName(
        text=filename,
        is_options=given.has("image-opts"),
        format=given.last("format"),
        cache=cache,
        writable=True,
        force_share=given.has("force-share"),
        no_backing=is_unsafe,
    )
    progress = Progress(invocation.program, enabled=given.has("progress") and not invocation.quiet)
    try:
        async with opened_images() as images:
            overlay = await images.open(name)
            _check_format(given.last("backing-format"))
            if not is_unsafe:
                new = await _open_backing(images, overlay, given, backing_cache)
                await _Rebase(overlay, new, progress, compress=given.has("compress")).run()
            await _record(invocation, overlay, backing, given.last("backing-format"))
            progress.show(1, 1)
    finally:
        progress.end()
    return 0


def _cache(given: Given, key: str, complaint: str) -> CacheMode:
    mode = given.last(key) or "writeback"
    if mode not in CACHE_MODES:
        raise ToolError(f"{complaint}: {mode}")
    return CACHE_MODES[mode]


def _check_format(name: str | None) -> None:
    from backcheck_engine.block.driver_table import driver_class

    if name is not None and driver_class(name) is None:
        raise ToolError(f"Invalid format name: '{name}'")


async def _open_backing(
    images: Images, overlay: "BlockBackend", given: Given, cache: CacheMode
) -> "BlockBackend | None":
    """The new backing image, or None when there is to be none. Raises ToolError."""
    backing = given.last("backing")
    if not backing:
        return None
    try:
        text = relative_to_image(overlay.inserted_node().exact_filename, backing)
        return await images.open_bare(ImageName(text=text, format=given.last("backing-format"), cache=cache))
    except EngineError as error:
        raise ToolError(f"Could not open new backing file '{backing}': {error}", hint=error.hint) from error


async def _record(
    invocation: Invocation, overlay: "BlockBackend", backing: str | None, backing_format: str | None
) -> None:
    """Write the new name into the overlay. Raises ToolError."""
    if backing and backing_format is None:
        if release.current() >= release.QEMU_7_2:
            raise ToolError(f"Could not change the backing file to '{backing}': backing format must be specified")
        invocation.program.warning(
            "Deprecated use of backing file without explicit backing format, "
            "use of this image requires potentially unsafe format probing"
        )
    try:
        await overlay.inserted_node().driver.change_backing_file(backing or None, backing_format)
    except BlockError as error:
        raise ToolError(f"Could not change the backing file to '{backing or ''}': {error}") from error


class _Rebase:
    """The overlay with its old and its new backing image, compared where the overlay decides nothing itself."""

    def __init__(
        self, overlay: "BlockBackend", new: "BlockBackend | None", progress: Progress, *, compress: bool
    ) -> None:
        self._overlay = overlay
        self._node = overlay.inserted_node()
        self._old: Node | None = self._node.skip_filters().overlaid
        self._new = new.inserted_node() if new is not None else None
        self._progress = progress
        self._compress = compress
        info = self._node.driver.info()
        self._granularity = (info.subcluster_size or info.cluster_size) if info is not None else 0
        if compress and info is not None:
            self._granularity = info.cluster_size

    async def run(self) -> None:
        """Raises BlockError when a request fails."""
        offset, size = 0, self._node.size
        while offset < size:
            allocated, length = await self._node.skip_filters().is_allocated(offset, size - offset)
            if not allocated:
                length = await self._settle(offset, length)
            offset += length
            self._progress.show(offset, size)

    async def _settle(self, offset: int, length: int) -> int:
        """Make sure of some of the range; returns of how much."""
        old, new = await self._status(self._old, offset, length), await self._status(self._new, offset, length)
        length = min(old.length, new.length)
        if old.zero and new.zero:
            return length
        length = min(length, PIECE)
        contents = await asyncio.gather(
            self._read(self._old, old, offset, length), self._read(self._new, new, offset, length)
        )
        view = memoryview(contents[0])
        for start, count in differing_runs(*contents, offset, self._granularity or length):
            if self._old is None or offset >= self._old.size:
                await self._overlay.pwrite_zeroes(offset + start, count)
            else:
                await self._write(offset + start, view[start : start + count])
        return length

    async def _status(self, node: "Node | None", offset: int, length: int) -> BlockStatus:
        """What a backing image shows; beyond its end it is zeroes."""
        if node is None or offset >= node.size:
            return BlockStatus(length=length, zero=True)
        return await node.block_status_above(None, offset, min(length, node.size - offset))

    async def _read(self, node: "Node | None", status: BlockStatus, offset: int, length: int) -> Buffer:
        return bytes(length) if node is None or status.zero else await node.pread(offset, length)

    async def _write(self, offset: int, data: memoryview) -> None:
        if self._compress:
            for start in range(0, len(data), self._granularity):
                await self._overlay.pwrite_compressed(offset + start, data[start : start + self._granularity])
        else:
            await self._overlay.pwrite(offset, data)
