"""backcheck-img map: which image of a chain holds which part of the disk, and where."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.errors import BlockError
from backcheck_engine.tools.command_line import Option
from backcheck_engine.tools.images import ImageName, opened_images
from backcheck_engine.tools.program import ToolError
from backcheck_engine.tools.usage import FORCE_SHARE, FORMAT, IMAGE_OPTS, OBJECT, OUTPUT, Invocation, size_argument

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

USAGE = "[-f FMT | --image-opts] [-s OFFSET] [-l LENGTH] [-U] [--output human|json] FILENAME"
OPTIONS = (
    FORMAT,
    IMAGE_OPTS,
    Option(long="start-offset", short="s", value="OFFSET", help="begin there"),
    Option(long="max-length", short="l", value="LENGTH", help="show that much"),
    OUTPUT,
    FORCE_SHARE,
    OBJECT,
)
_PRESENT_SINCE: Final = release.Release("6.1")
_COMPRESSED_SINCE: Final = release.Release("8.2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """MapEntry of QAPI: a part of the disk that has one status."""

    start: int
    length: int
    depth: int = 0
    """How many images down the chain it was decided."""
    present: bool = False
    zero: bool = False
    data: bool = False
    compressed: bool = False
    offset: int | None = None
    """Where it lies in the file, when it does so as it is."""
    filename: str = ""

    def continues(self, other: "Extent") -> bool:
        """Whether `other`, which comes next, is more of the same."""
        if replace(self, start=0, length=0, offset=None) != replace(other, start=0, length=0, offset=None):
            return False
        if self.offset is None or other.offset is None:
            return self.offset is other.offset
        return self.offset + self.length == other.offset


async def run(invocation: Invocation) -> int:
    """Print the map as it is found out."""
    given = invocation.given
    as_json = invocation.output_is_json()
    start = size_argument(given.last("start-offset") or "0", "start offset")
    longest = given.last("max-length")
    length = None if longest is None else size_argument(longest, "max length")
    (filename,) = invocation.operands(1, "Expecting one image file name")
    invocation.check_image_options("format")
    name = ImageName(
        text=filename,
        is_options=given.has("image-opts"),
        format=given.last("format"),
        force_share=given.has("force-share"),
    )
    async with opened_images() as images:
        node = (await images.open(name)).inserted_node()
        end = node.size if length is None else min(node.size, start + length)
        extents = merged(status_of(node, start, end), start)
        await (_print_json(invocation, extents) if as_json else _print_table(invocation, extents))
    return 0


async def status_of(node: "Node", start: int, end: int) -> AsyncIterator[Extent]:
    """The statuses from `start` to `end`, in the pieces in which the nodes report them."""
    while start < end:
        extent = await _status_at(node, start, end - start)
        yield extent
        start += extent.length


async def _status_at(top: "Node", start: int, length: int) -> Extent:
    """What is at `start`: the first image from the top that decides it, or nothing at the end of the chain."""
    depth = 0
    node: Node | None = top.skip_filters()
    while node is not None:
        try:
            status = await node.block_status(start, length)
        except BlockError as error:
            raise error.prefixed("Could not read file metadata: ") from error
        length = status.length
        if status.data or status.zero:
            named = status.host_offset is not None and status.file is not None
            return Extent(
                start=start,
                length=length,
                depth=depth,
                present=status.allocated,
                zero=status.zero,
                data=status.data,
                compressed=status.compressed and release.current() >= _COMPRESSED_SINCE,
                offset=status.host_offset,
                filename=status.file.filename if named and status.file is not None else "",
            )
        below = node.overlaid
        if below is None:
            break
        node = below.skip_filters()
        depth += 1
    return Extent(start=start, length=length, depth=depth)


async def merged(extents: AsyncIterator[Extent], start: int) -> AsyncIterator[Extent]:
    """The same with what belongs together in one; an empty one where there is nothing."""
    shows_presence = release.current() >= _PRESENT_SINCE
    pending = Extent(start=start, length=0)
    async for found in extents:
        extent = found if shows_presence else replace(found, present=False)
        if pending.length and pending.continues(extent):
            pending = replace(pending, length=pending.length + extent.length)
            continue
        if pending.length:
            yield pending
        pending = extent
    yield pending


async def _print_json(invocation: Invocation, extents: AsyncIterator[Extent]) -> None:
    invocation.program.write("[")
    separator = ""
    async for extent in extents:
        invocation.program.write(f"{separator}{_as_json(extent)}")
        separator = ",\n"
    invocation.program.say("]")


def _as_json(extent: Extent) -> str:
    now = release.current()
    members: dict[str, object] = {"start": extent.start, "length": extent.length, "depth": extent.depth}
    if now >= _PRESENT_SINCE:
        members["present"] = extent.present
    members["zero"], members["data"] = extent.zero, extent.data
    if now >= _COMPRESSED_SINCE:
        members["compressed"] = extent.compressed
    if extent.offset is not None:
        members["offset"] = extent.offset
    return "{ " + ", ".join(f'"{key}": {str(value).lower()}' for key, value in members.items()) + "}"


async def _print_table(invocation: Invocation, extents: AsyncIterator[Extent]) -> None:
    """Print what holds data; a file that does not hold it as it is ends the table."""
    write = invocation.program.write
    write(f"{'Offset':<16}{'Length':<16}{'Mapped to':<16}File\n")
    async for extent in extents:
        if extent.data and extent.offset is None:
            raise ToolError("File contains external, encrypted or compressed clusters.")
        if extent.data and not extent.zero:
            numbers = (extent.start, extent.length, extent.offset or 0)
            columns = "".join(f"{f'{number:#x}' if number else '0':<16}" for number in numbers)
            write(f"{columns}{extent.filename}\n")
