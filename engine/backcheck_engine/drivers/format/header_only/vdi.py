"""The header of a VDI image. All numbers are little-endian; the block map lies behind the header's sector."""

from __future__ import annotations

import errno
import struct
from typing import Final

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.header_only.header import HeaderFile, ImageOutline, NewImage, new_identity
from backcheck_engine.errors import BlockError

_HEADER_BYTES: Final = SECTOR_SIZE
_FIELDS: Final = struct.Struct("<64sIIIII256sIIIIIIIQIIII16s16s16s16s")
_TEXT: Final = b"<<< QEMU VM Virtual Disk Image >>>\n"
_SIGNATURE: Final = 0xBEDA107F
_VERSION: Final = 0x00010001
_LISTED_HEADER_BYTES: Final = 0x180
_DYNAMIC, _STATIC = 1, 2
_BLOCK: Final = 1024 * 1024
_MOST_BLOCKS: Final = 0x1FFFFF80
_LARGEST: Final = _MOST_BLOCKS * _BLOCK
_MAP_OFFSET: Final = SECTOR_SIZE
_NO_UUID: Final = bytes(16)


async def parse(file: HeaderFile) -> ImageOutline:
    """What the header says. Raises BlockError in QEMU's words."""
    data = await file.read(0, _HEADER_BYTES)
    fields = _FIELDS.unpack(data[: _FIELDS.size])
    signature, version, map_offset, data_offset = fields[1], fields[2], fields[7], fields[8]
    sector, size, block, blocks = fields[12], fields[14], fields[15], fields[17]
    link, parent = fields[21], fields[22]
    if size > _LARGEST:
        raise BlockError(_too_large(size), errno.ENOTSUP)
    size = -(-size // SECTOR_SIZE) * SECTOR_SIZE
    if signature != _SIGNATURE:
        raise BlockError(f"Image not in VDI format (bad signature {signature:08x})", errno.EINVAL)
    for is_wrong, what in (
        (version != _VERSION, f"version {version >> 16}.{version & 0xFFFF}"),
        (map_offset % SECTOR_SIZE != 0, f"unaligned block map offset 0x{map_offset:x}"),
        (data_offset % SECTOR_SIZE != 0, f"unaligned data offset 0x{data_offset:x}"),
        (sector != SECTOR_SIZE, f"sector size {sector} is not {SECTOR_SIZE}"),
        (block != _BLOCK, f"block size {block} is not {_BLOCK}"),
        (size > blocks * block, f"disk size {size}, image bitmap has room for {blocks * block}"),
        (link != _NO_UUID, "non-NULL link UUID"),
        (parent != _NO_UUID, "non-NULL parent UUID"),
        (blocks > _MOST_BLOCKS, f"too many blocks {blocks}, max is {_MOST_BLOCKS}"),
    ):
        if is_wrong:
            raise BlockError(f"unsupported VDI image ({what})", errno.ENOTSUP)
    return ImageOutline(size=size, cluster_size=_BLOCK)


def new_image(size: int, *, is_static: bool) -> NewImage:
    """An empty image of `size` bytes, a multiple of sectors: header, block map, and the blocks too if it is static.

    Raises BlockError in QEMU's words.
    """
    if size > _LARGEST:
        raise BlockError(_too_large(size), errno.ENOTSUP)
    blocks = -(-size // _BLOCK)
    map_bytes = -(-blocks * 4 // SECTOR_SIZE) * SECTOR_SIZE
    data_offset = _MAP_OFFSET + map_bytes
    header = _FIELDS.pack(
        _TEXT,
        _SIGNATURE,
        _VERSION,
        _LISTED_HEADER_BYTES,
        _STATIC if is_static else _DYNAMIC,
        0,
        b"",
        _MAP_OFFSET,
        data_offset,
        0,
        0,
        0,
        SECTOR_SIZE,
        0,
        size,
        _BLOCK,
        0,
        blocks,
        blocks if is_static else 0,
        new_identity(),
        new_identity(),
        _NO_UUID,
        _NO_UUID,
    )
    block_map = struct.pack(f"<{blocks}I", *range(blocks)) if is_static else b"\xff" * (4 * blocks)
    length = data_offset + (blocks * _BLOCK if is_static else 0)
    return NewImage(parts=((0, header), (_MAP_OFFSET, block_map)), length=length)


def _too_large(size: int) -> str:
    return f"Unsupported VDI image size (size is 0x{size:x}, max supported is 0x{_LARGEST:x})"
