"""Making vmdk images: the options, what combinations they allow, the files and what is in them at first."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.filenames import relative_to_image
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.creation.file import chosen_extent_size
from backcheck_engine.drivers.creation.new_file import make_file, node_of, open_new_file
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, OptionKind
from backcheck_engine.drivers.format.vmdk import descriptor
from backcheck_engine.drivers.format.vmdk.descriptor import NO_PARENT, ExtentKind, ExtentLine
from backcheck_engine.drivers.format.vmdk.header import (
    DESCRIPTOR_AREA,
    DESCRIPTOR_OFFSET,
    ENTRY_SIZE,
    MAX_DIRECTORY_ENTRIES,
    SparseHeader,
    directory_sectors,
    new_header,
    pack_entries,
    pack_hosted,
)
from backcheck_engine.drivers.format.vmdk.image import content_id, new_content_id
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject

OPTIONS: Sequence[CreateOption] = (
    SIZE,
    CreateOption(
        name="adapter_type",
        kind=OptionKind.STRING,
        help="Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX",
    ),
    CreateOption(name="backing_file", kind=OptionKind.STRING, help="File name of a base image"),
    CreateOption(name="backing_fmt", kind=OptionKind.STRING, help="Must be 'vmdk' if present"),
    CreateOption(name="compat6", kind=OptionKind.BOOL, help="VMDK version 6 image", default="off"),
    CreateOption(name="hwversion", kind=OptionKind.STRING, help="VMDK hardware version", default="undefined"),
    CreateOption(name="toolsversion", kind=OptionKind.STRING, help="VMware guest tools version"),
    CreateOption(
        name="subformat",
        kind=OptionKind.STRING,
        help="VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
        "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ",
    ),
    CreateOption(
        name="zeroed_grain",
        kind=OptionKind.BOOL,
        help="Enable efficient zero writes using the zeroed-grain GTE feature",
    ),
)

_SUBFORMATS: Final = (
    "monolithicSparse",
    "monolithicFlat",
    "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat",
    "streamOptimized",
)
_ADAPTERS: Final = ("ide", "buslogic", "lsilogic", "legacyESX")
_LARGEST_PART: Final = 2 * 1024**3
_TRACK_SECTORS: Final = 63
_IDE_HEADS: Final = 16
_SCSI_HEADS: Final = 255
_ENTRIES_TOGETHER: Final = 64 * 1024
_UNDEFINED: Final = "undefined"
_ANY_TOOLS: Final = "2147483647"

FileFor = Callable[[int], Awaitable["Node | None"]]
"""The node for the file with that number, with a reference for the caller: 0 is the image, what follows its extents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """What a new image is to be."""

    size: int
    subformat: str = "monolithicSparse"
    adapter: str = "ide"
    backing_file: str | None = None
    hardware_version: str = _UNDEFINED
    tools_version: str = _ANY_TOOLS
    compat6: bool = False
    zeroed_grains: bool = False

    @property
    def is_flat(self) -> bool:
        """Whether the content lies in files of its own as it is."""
        return self.subformat.endswith("Flat")

    @property
    def is_split(self) -> bool:
        """Whether there is a file for each 2 GiB."""
        return self.subformat.startswith("twoGb")

    def verify(self) -> None:
        """Refuse combinations that QEMU refuses, in its order. Raises BlockError."""
        objections = (
            (self.size % SECTOR_SIZE != 0, f"Image size must be a multiple of {SECTOR_SIZE} bytes"),
            (
                self.compat6 and self.hardware_version != _UNDEFINED,
                "compat6 cannot be enabled with hwversion set",
            ),
            (self.is_flat and bool(self.backing_file), "Flat image can't have backing file"),
            (self.is_flat and self.zeroed_grains, "Flat image can't enable zeroed grain"),
        )
        for is_wrong, message in objections:
            if is_wrong:
                raise BlockError(message, errno.EINVAL)

    def part_sizes(self) -> list[int]:
        """The sizes of the separate extents; none when the image is one file."""
        if not self.is_split:
            return [self.size] if self.is_flat and self.size else []
        starts = range(0, self.size, _LARGEST_PART)
        return [min(_LARGEST_PART, self.size - start) for start in starts]

    def text(self, parent_cid: int, extents: Sequence[ExtentLine]) -> str:
        """The descriptor."""
        heads = _IDE_HEADS if self.adapter == "ide" else _SCSI_HEADS
        hardware = "6" if self.compat6 else "4"
        return descriptor.make_text(
            cid=new_content_id(),
            parent_cid=parent_cid,
            create_type=self.subformat,
            parent=self.backing_file or None,
            extents=extents,
            hardware=hardware if self.hardware_version == _UNDEFINED else self.hardware_version,
            cylinders=self.size // (_TRACK_SECTORS * heads * SECTOR_SIZE),
            heads=heads,
            adapter=self.adapter,
            tools=self.tools_version,
        )


# By text options.


async def create_from_options(graph: Graph, filename: str, options: CreateOptions) -> None:
    """Make the files of an image by text options. Raises in QEMU's words."""
    kind = options.text("backing_fmt")
    if kind is not None and kind != "vmdk":
        raise BlockError("backing_file must be a vmdk image", errno.EINVAL)
    new = NewImage(
        size=-(-options.number("size") // SECTOR_SIZE) * SECTOR_SIZE,
        adapter=_choice(options.text("adapter_type"), _ADAPTERS),
        subformat=_choice(options.text("subformat"), _SUBFORMATS),
        backing_file=options.text("backing_file"),
        hardware_version=options.text("hwversion") or _UNDEFINED,
        tools_version=options.text("toolsversion") or _ANY_TOOLS,
        compat6=options.flag("compat6"),
        zeroed_grains=options.flag("zeroed_grain"),
    )
    count = len(new.part_sizes())

    async def file_for(number: int) -> Node | None:
        if number > count:
            return None
        name = _part_name(filename, number, new) if number else filename
        await make_file(graph, name, 0, chosen_extent_size(options))
        return await open_new_file(graph, name)

    await create_in_files(graph, new, file_for)


def _choice(value: str | None, choices: Sequence[str]) -> str:
    """The value of an option, which is the first choice if nobody said anything."""
    if value is None:
        return choices[0]
    if value not in choices:
        raise OptionError(f"invalid parameter value: {value}")
    return value


def _part_name(filename: str, number: int, new: NewImage) -> str:
    """The name of a separate extent, beside the descriptor: x-flat.vmdk, x-s001.vmdk, x-f001.vmdk."""
    start, ending = os.path.splitext(filename)
    if not new.is_split:
        return f"{start}-flat{ending}"
    return f"{start}-{'f' if new.is_flat else 's'}{number:03}{ending}"


# By QAPI's options.


async def create_from_qapi(graph: Graph, options: JsonObject) -> None:
    """BlockdevCreateOptionsVmdk of QAPI: an image on nodes. Raises in QEMU's words."""
    size, extents = options["size"], options.get("extents", [])
    assert isinstance(size, int)
    assert isinstance(extents, list)
    references = [options["file"], *extents]
    backing = options.get("backing-file")
    new = NewImage(
        size=size,
        adapter=str(options.get("adapter-type", "ide")),
        subformat=str(options.get("subformat", "monolithicSparse")),
        backing_file=None if backing is None else str(backing),
        hardware_version=str(options.get("hwversion", _UNDEFINED)),
        tools_version=str(options.get("toolsversion", _ANY_TOOLS)),
        zeroed_grains=bool(options.get("zeroed-grain", False)),
    )

    async def file_for(number: int) -> Node | None:
        return await node_of(graph, references[number]) if number < len(references) else None

    await create_in_files(graph, new, file_for)


# Either way.


async def create_in_files(graph: Graph, new: NewImage, file_for: FileFor) -> None:
    """Make an image in the files that `file_for` gives. Raises BlockError in QEMU's words."""
    new.verify()
    sizes = new.part_sizes()
    async with AsyncExitStack() as opened:
        main = await _taken(opened, graph, file_for, 0)
        if not sizes and not new.is_flat:
            await _make_extent(main, new, new.size)
        parent_cid = await _parent_cid(graph, main, new)
        lines = []
        kind = ExtentKind.FLAT if new.is_flat else ExtentKind.SPARSE
        for number, size in enumerate(sizes, 1):
            part = await _taken(opened, graph, file_for, number)
            await _make_extent(part, new, size)
            lines.append(ExtentLine(kind=kind, sectors=size // SECTOR_SIZE, filename=_base_name(part)))
        await _refuse_unused(file_for, len(sizes) + 1)
        if not new.is_flat and not new.is_split:
            lines.append(ExtentLine(kind=kind, sectors=new.size // SECTOR_SIZE, filename=_base_name(main)))
        await _write_text(main, new, new.text(parent_cid, lines))


async def _taken(opened: AsyncExitStack, graph: Graph, file_for: FileFor, number: int) -> Node:
    """The file with that number, for this program to write to alone until `opened` ends."""
    file = await file_for(number)
    if file is None:
        raise BlockError(f"Extent [{number - 1}] not specified", errno.EINVAL)
    return await opened.enter_async_context(_written(graph, file))


@asynccontextmanager
async def _written(graph: Graph, file: Node) -> AsyncIterator[Node]:
    writer = BlockBackend(graph, permissions=Permission.WRITE | Permission.RESIZE)
    try:
        writer.insert(file)
        yield file
    finally:
        await writer.close()
        await file.unref()


async def _refuse_unused(file_for: FileFor, number: int) -> None:
    unused = await file_for(number)
    if unused is not None:
        await unused.unref()
        raise BlockError("List of extents contains unused extents", errno.EINVAL)


def _base_name(file: Node) -> str:
    return os.path.basename(file.filename)


async def _parent_cid(graph: Graph, main: Node, new: NewImage) -> int:
    """The content id of the backing file, which has to be a vmdk. Raises BlockError."""
    if not new.backing_file:
        return NO_PARENT
    name = relative_to_image(main.exact_filename, new.backing_file)
    backing = await open_node(graph, {}, filename=name, read_only=True, no_backing=True)
    try:
        if backing.format_name != "vmdk":
            raise BlockError(f"Invalid backing file format: {backing.format_name}. Must be vmdk", errno.EINVAL)
        parent_cid = await content_id(backing)
    finally:
        await backing.unref()
    if parent_cid is None:
        raise BlockError("Failed to read parent CID", errno.EINVAL)
    return parent_cid


async def _make_extent(file: Node, new: NewImage, size: int) -> None:
    """Make the file an extent of `size` bytes that reads as zeroes."""
    if new.is_flat:
        await file.truncate(size, exact=False)
        return
    header = new_header(size, is_compressed=new.subformat == "streamOptimized", zeroed_grains=new.zeroed_grains)
    if header.directory_entries > MAX_DIRECTORY_ENTRIES:
        # QEMU makes what it cannot open.
        raise BlockError("L1 size too big", errno.EFBIG)
    await file.truncate(0, exact=False)
    await file.truncate(header.data_offset, exact=False)
    await file.pwrite(0, pack_hosted(header))
    assert header.redundant_directory_offset is not None
    for directory in (header.redundant_directory_offset, header.directory_offset):
        await _write_directory(file, header, directory)


async def _write_directory(file: Node, header: SparseHeader, offset: int) -> None:
    """Write a directory at `offset` whose tables are right behind it."""
    count = header.directory_entries
    first = offset // SECTOR_SIZE + directory_sectors(count)
    step = header.table_size // SECTOR_SIZE
    for start in range(0, count, _ENTRIES_TOGETHER):
        end = min(start + _ENTRIES_TOGETHER, count)
        entries = pack_entries(range(first + start * step, first + end * step, step))
        await file.pwrite(offset + start * ENTRY_SIZE, entries)


async def _write_text(main: Node, new: NewImage, text: str) -> None:
    data = descriptor.as_bytes(text)
    is_apart = new.is_flat or new.is_split
    longest = descriptor.MAX_LENGTH if is_apart else DESCRIPTOR_AREA
    if len(data) > longest:
        raise BlockError("VMDK description file too big", errno.EFBIG)
    if is_apart:
        await main.truncate(0, exact=False)
    try:
        await main.pwrite(0 if is_apart else DESCRIPTOR_OFFSET, data)
    except BlockError as error:
        raise error.prefixed("Could not write description: ") from error
