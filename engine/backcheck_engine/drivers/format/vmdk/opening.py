"""Opening an image: what its first bytes make of it, then its extents, all verified in QEMU's order and words."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.filenames import combine, is_absolute
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.vmdk import descriptor
from backcheck_engine.drivers.format.vmdk import header as headers
from backcheck_engine.drivers.format.vmdk.extent import FlatExtent, SparseExtent
from backcheck_engine.drivers.format.vmdk.header import (
    DESCRIPTOR_OFFSET,
    ESX_MAGIC,
    FOOTER_LENGTH,
    HOSTED_MAGIC,
    SparseHeader,
)
from backcheck_engine.drivers.format.vmdk.image import Image, read_descriptor
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener
    from backcheck_engine.drivers.format.vmdk.descriptor import ExtentLine

_SHORTEST: Final = 4


async def open_image(opener: Opener) -> Image:
    """An image on `opener.node`, its children attached. Raises BlockError."""
    file = await opener.file()
    start = await _first_sector(file)
    is_sparse = start.startswith((HOSTED_MAGIC, ESX_MAGIC))
    image = await (_open_sparse(opener, file, start) if is_sparse else _open_text(opener, file))
    text = await image.read_text()
    parent = descriptor.parent_name(text)
    if parent:
        opener.set_backing(parent, "vmdk")
    ids = descriptor.content_ids(text)
    if ids is None:
        raise BlockError(f"Could not open '{file.filename}': Invalid argument", errno.EINVAL)
    image.cid, image.parent_cid = ids
    return image


async def _open_sparse(opener: Opener, file: Node, start: bytes) -> Image:
    """The image of a file that begins as a sparse extent: that extent, or what its descriptor says if it is empty."""
    header, by_footer = await _read_header(file, start)
    if header.capacity == 0 and header.descriptor_offset:
        return await _open_parts(opener, await read_descriptor(file, header.descriptor_offset), DESCRIPTOR_OFFSET)
    kind = "streamOptimized" if header.is_compressed else "monolithicSparse"
    image = Image(opener.node, create_type=kind, descriptor_offset=DESCRIPTOR_OFFSET)
    image.add(await _sparse_extent(opener, file, header, by_footer=by_footer, start=0, kind=""))
    return image


async def _open_text(opener: Opener, file: Node) -> Image:
    """The image of a file that is a descriptor only, and so has no data."""
    opener.node.children["file"].role &= ~ChildRole.DATA
    opener.node.graph.refresh_permissions(opener.node)
    return await _open_parts(opener, await read_descriptor(file, 0), 0)


async def _first_sector(file: Node) -> bytes:
    if file.size < _SHORTEST:
        raise BlockError("File is too small, not a valid image", errno.EINVAL)
    try:
        return bytes(await file.pread(0, SECTOR_SIZE))
    except BlockError as error:
        raise error.prefixed("Could not read from file: ") from error


async def _read_header(file: Node, start: bytes) -> tuple[SparseHeader, bool]:
    """(the header that counts, whether it is that of a footer). Raises BlockError."""
    if start.startswith(ESX_MAGIC):
        header = headers.parse_esx(start)
        header.verify_sizes()
        return header, False
    header = headers.parse_hosted(start)
    if not header.directory_is_at_end:
        return header, False
    try:
        footer = bytes(await file.pread(max(file.size - FOOTER_LENGTH, 0), FOOTER_LENGTH))
    except BlockError as error:
        raise error.prefixed("Failed to read footer: ") from error
    return headers.parse_footer(footer), True


async def _sparse_extent(
    opener: Opener, file: Node, header: SparseHeader, *, by_footer: bool, start: int, kind: str
) -> SparseExtent:
    if header.is_hosted:
        header.verify(file_size=file.size, writable=opener.node.is_writable and not opener.no_io)
    extent = SparseExtent(file, header, start=start, kind=kind)
    extent.footer_counts = by_footer
    await extent.tables.probe(file.filename)
    return extent


# Images in several files.


async def _open_parts(opener: Opener, text: str, descriptor_offset: int) -> Image:
    """The image that a descriptor makes of other files. Raises BlockError."""
    kind = descriptor.create_type(text)
    image = Image(opener.node, create_type=kind, descriptor_offset=descriptor_offset)
    for number, line in enumerate(descriptor.extent_lines(text)):
        await _open_part(opener, image, number, line)
    return image


async def _open_part(opener: Opener, image: Image, number: int, line: ExtentLine) -> None:
    kind = line.kind
    role = ChildRole.DATA if kind.is_flat else ChildRole.DATA | ChildRole.METADATA
    filename = _beside(opener.node, line.filename)
    file = await opener.child(f"extents.{number}", role=role, filename=filename)
    assert file is not None
    if kind.is_flat:
        size, offset = line.sectors * SECTOR_SIZE, line.offset_sectors * SECTOR_SIZE
        image.add(FlatExtent(file, start=image.size, size=size, kind=kind.value, file_offset=offset))
        return
    start = await _first_sector(file)
    if not start.startswith((HOSTED_MAGIC, ESX_MAGIC)):
        raise BlockError("Image not in VMDK format", errno.EINVAL)
    header, by_footer = await _read_header(file, start)
    extent = await _sparse_extent(opener, file, header, by_footer=by_footer, start=image.size, kind=kind.value)
    image.add(extent)
    if extent.is_packed:
        image.create_type = "streamOptimized"


def _beside(node: Node, filename: str) -> str:
    """An extent's name as one to open: relative to the descriptor. Raises BlockError."""
    if is_absolute(filename):
        return filename
    base = node.directory_base()
    if not base:
        raise BlockError(
            f"Cannot use relative paths with VMDK descriptor file '{node.file.filename}': "
            "Cannot generate a base directory for this node",
            errno.EINVAL,
        )
    return combine(base, filename)
