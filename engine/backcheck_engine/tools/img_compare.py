"""backcheck-img compare: whether two images show a guest the same content.

Exit status: 0 identical, 1 different, 2 an image cannot be opened, 3 a block status cannot be had, 4 a read failed.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.request import BlockStatus, Buffer
from backcheck_engine.errors import EngineError
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.image_options import CACHE_MODES
from backcheck_engine.tools.images import ImageName, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.progress import Progress
from backcheck_engine.tools.usage import FORCE_SHARE, FORMAT, IMAGE_OPTS, OBJECT, PROGRESS, QUIET, Invocation, renamed
from backcheck_engine.tools.zero_search import first_data_sector, first_different_sector

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

USAGE = "[--image-opts | [-f FMT] [-F FMT]] [-s] [-T CACHE_MODE] [-p] [-q] [-U] FILENAME1 FILENAME2"
OPTIONS = (
    QUIET,
    PROGRESS,
    renamed(FORMAT, long="a-format", help="the first image's format, which is guessed otherwise"),
    Option(long="b-format", short="F", value="FMT", help="the second image's format"),
    IMAGE_OPTS,
    Option(long="strict", short="s", help="sizes and allocation must be equal too"),
    Option(long="cache", short="T", value="CACHE_MODE", help="how the images are cached (writeback)"),
    FORCE_SHARE,
    OBJECT,
)
PIECE: Final = 2 * 1024 * 1024
EXIT_DIFFERENT: Final = 1
EXIT_NOT_OPENED: Final = 2
EXIT_NO_STATUS: Final = 3
EXIT_NOT_READ: Final = 4


class _Different(Exception):
    """The images differ; the message is for the user."""


async def run(invocation: Invocation) -> int:
    """Compare the two images and say what came of it."""
    given = invocation.given
    names = invocation.operands(2, "Expecting two image file names")
    invocation.check_image_options("a-format", "b-format")
    cache = given.last("cache") or "writeback"
    if cache not in CACHE_MODES:
        raise ToolError(f"Invalid source cache option: {cache}", status=EXIT_NOT_OPENED)
    progress = Progress(invocation.program, enabled=given.has("progress") and not invocation.quiet, step=2.0)
    async with opened_images() as images:
        first, second = [
            await images.open(
                ImageName(
                    text=text,
                    is_options=given.has("image-opts"),
                    format=given.last(key),
                    cache=CACHE_MODES[cache],
                    force_share=given.has("force-share"),
                ),
                status=EXIT_NOT_OPENED,
            )
            for text, key in zip(names, ("a-format", "b-format"), strict=True)
        ]
        comparison = _Comparison(invocation, progress, names, (first, second))
        try:
            await comparison.run(strict=given.has("strict"))
        except _Different as difference:
            invocation.say(str(difference))
            status = EXIT_DIFFERENT
        else:
            invocation.say("Images are identical.")
            status = 0
        finally:
            progress.end()
    return status


class _Comparison:
    """Two images, walked through side by side; where both read as zeroes nothing is read."""

    def __init__(
        self,
        invocation: Invocation,
        progress: Progress,
        names: list[str],
        images: "tuple[BlockBackend, BlockBackend]",
    ) -> None:
        self.invocation = invocation
        self.progress = progress
        self.names = names
        self.images = images
        self.sizes = tuple(image.size for image in images)

    async def run(self, *, strict: bool) -> None:
        """Raises _Different at the first difference."""
        if strict and self.sizes[0] != self.sizes[1]:
            raise _Different("Strict mode: Image size mismatch!")
        await self._compare_common(strict=strict)
        if self.sizes[0] != self.sizes[1]:
            self.invocation.say("Warning: Image size mismatch!")
            await self._check_rest()

    async def _compare_common(self, *, strict: bool) -> None:
        offset, end = 0, min(self.sizes)
        while offset < end:
            first, second = await self._status(0, offset), await self._status(1, offset)
            if strict and _kind(first) != _kind(second):
                raise _Different(f"Strict mode: Offset {offset} block status mismatch!")
            length = min(first.length, second.length, end - offset)
            if not (first.zero and second.zero):
                length = min(length, PIECE)
                await self._compare_piece(offset, length, first, second)
            offset += length
            self.progress.show(offset, max(self.sizes))

    async def _compare_piece(self, offset: int, length: int, first: BlockStatus, second: BlockStatus) -> None:
        if first.allocated and second.allocated:
            contents = await asyncio.gather(self._read(0, offset, length), self._read(1, offset, length))
            different = first_different_sector(*contents)
            if different is not None:
                raise _Different(f"Content mismatch at offset {offset + different}!")
        elif first.allocated or second.allocated:
            await self._check_empty(0 if first.allocated else 1, offset, length)

    async def _check_rest(self) -> None:
        """What one image has beyond the end of the other must read as zeroes."""
        longer = 0 if self.sizes[0] > self.sizes[1] else 1
        offset, end = min(self.sizes), max(self.sizes)
        while offset < end:
            status = await self._status(longer, offset)
            length = status.length
            if status.allocated and not status.zero:
                length = min(length, PIECE)
                await self._check_empty(longer, offset, length)
            offset += length
            self.progress.show(offset, end)

    async def _check_empty(self, index: int, offset: int, length: int) -> None:
        sector = first_data_sector(await self._read(index, offset, length))
        if sector is not None:
            raise _Different(f"Content mismatch at offset {offset + sector}!")

    async def _status(self, index: int, offset: int) -> BlockStatus:
        node = self.images[index].inserted_node()
        try:
            return await node.block_status_above(None, offset, self.sizes[index] - offset)
        except EngineError as error:
            raise ToolError(f"Sector allocation test failed for {self.names[index]}", status=EXIT_NO_STATUS) from error

    async def _read(self, index: int, offset: int, length: int) -> Buffer:
        try:
            return await self.images[index].pread(offset, length)
        except EngineError as error:
            raise ToolError(
                f"Error while reading offset {offset} of {self.names[index]}: {error}", status=EXIT_NOT_READ
            ) from error


def _kind(status: BlockStatus) -> tuple[bool, bool, bool]:
    return status.data, status.zero, status.allocated
