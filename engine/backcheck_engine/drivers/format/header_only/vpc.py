"""The footer and the headers of a VPC image (VHD). All numbers are big-endian.

A disk is as large as whole cylinders, heads and sectors make it, unless its header says that its size is exact.
"""

from __future__ import annotations

import errno
import struct
import time
from typing import Final, NamedTuple

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.header_only.header import HeaderFile, ImageOutline, NewImage, new_identity
from backcheck_engine.errors import BlockError

_HEADER_BYTES: Final = SECTOR_SIZE + 1024
"""The copy of the footer at the file's beginning, and the header of a disk that grows."""
_FOOTER: Final = struct.Struct(">8sIIQI4sI4sQQHBBII16s")
_DYNAMIC_HEADER: Final = struct.Struct(">8sQQIIII")
_CHECKSUM_OFFSET: Final = 64
_DYNAMIC_CHECKSUM_OFFSET: Final = 36
_COOKIE, _DYNAMIC_COOKIE = b"conectix", b"cxsparse"
_FEATURES: Final = 2
_VERSION: Final = 0x00010000
_CREATOR, _CREATOR_OF_EXACT_SIZES = b"qemu", b"qem2"
_CREATOR_VERSION: Final = 0x00050003
_CREATOR_SYSTEM: Final = b"Wi2k"
_FIXED, _DYNAMIC = 2, 3
_EXACT_CREATORS: Final = (b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS")
_EPOCH: Final = 946684800
"""Times count from the year 2000."""
_NOWHERE: Final = 2**64 - 1
_BLOCK: Final = 2 * 1024 * 1024
_TABLE_OFFSET: Final = _HEADER_BYTES
_MOST_SECTORS: Final = 0xFF000000


class Geometry(NamedTuple):
    """Cylinders, heads, and sectors of a track."""

    cylinders: int
    heads: int
    sectors: int

    @property
    def total(self) -> int:
        """All sectors."""
        return self.cylinders * self.heads * self.sectors


_LARGEST_GEOMETRY: Final = Geometry(65535, 16, 255)


async def parse(file: HeaderFile) -> ImageOutline:
    """What the footer and the header say. Raises BlockError in QEMU's words."""
    data = await file.read(0, _HEADER_BYTES)
    footer, header = data[:SECTOR_SIZE], data[SECTOR_SIZE:_HEADER_BYTES]
    if not footer.startswith(_COOKIE):  # a disk of fixed size has its footer at the end only
        footer = await file.read(max(file.size - SECTOR_SIZE, 0), SECTOR_SIZE)
    fields = _FOOTER.unpack(footer[: _FOOTER.size])
    is_fixed = fields[13] == _FIXED
    if fields[0] != _COOKIE or not (is_fixed or data.startswith(_COOKIE)):
        raise BlockError("invalid VPC image", errno.EINVAL)
    if fields[14] != _checksum(footer, _CHECKSUM_OFFSET):
        raise BlockError("Incorrect header checksum", errno.EINVAL)
    geometry, exact = Geometry(*fields[10:13]), fields[9] // SECTOR_SIZE
    is_exact = fields[5] in _EXACT_CREATORS or geometry.total == _LARGEST_GEOMETRY.total
    sectors = exact if is_exact else geometry.total
    if sectors > _MOST_SECTORS:
        raise BlockError.from_errno(errno.EFBIG)
    if is_fixed:
        return ImageOutline(size=sectors * SECTOR_SIZE, cluster_size=0)
    cookie, _, table_offset, _, entries, block, _ = _DYNAMIC_HEADER.unpack(header[: _DYNAMIC_HEADER.size])
    for is_wrong, message in (
        (cookie != _DYNAMIC_COOKIE, "Invalid header magic"),
        (block == 0 or block & (block - 1) or block < SECTOR_SIZE, f"Invalid block size {block}"),
        (entries * block < sectors * SECTOR_SIZE, "Page table too small"),
        (entries > (2**31 - 1) // 4, f"Max Table Entries too large ({entries - (entries >> 31 << 32)})"),
    ):
        if is_wrong:
            raise BlockError(message, errno.EINVAL)
    if table_offset + 4 * entries > file.size:
        raise BlockError(
            "block-vpc: free_data_block_offset points after the end of file. The image has been truncated.",
            errno.EINVAL,
        )
    return ImageOutline(size=sectors * SECTOR_SIZE, cluster_size=block)


def new_image(size: int, *, is_exact: bool) -> NewImage:
    """An empty image that grows, of `size` bytes, a multiple of sectors, or more unless that is exact.

    Raises EFBIG for what is too large.
    """
    sectors, geometry = _rounded(size // SECTOR_SIZE, is_exact=is_exact)
    blocks = -(-sectors * SECTOR_SIZE // _BLOCK)
    table = b"\xff" * (-(-blocks * 4 // SECTOR_SIZE) * SECTOR_SIZE)
    footer = _footer(sectors, geometry, _CREATOR_OF_EXACT_SIZES if is_exact else _CREATOR)
    header = _DYNAMIC_HEADER.pack(_DYNAMIC_COOKIE, _NOWHERE, _TABLE_OFFSET, _VERSION, blocks, _BLOCK, 0)
    header = header.ljust(_HEADER_BYTES - SECTOR_SIZE, b"\0")
    content = footer + _summed(header, _DYNAMIC_CHECKSUM_OFFSET) + table + footer
    return NewImage(parts=((0, content),), length=len(content))


def _footer(sectors: int, geometry: Geometry, creator: bytes) -> bytes:
    size = sectors * SECTOR_SIZE
    fields = _FOOTER.pack(
        _COOKIE,
        _FEATURES,
        _VERSION,
        SECTOR_SIZE,
        int(time.time()) - _EPOCH,
        creator,
        _CREATOR_VERSION,
        _CREATOR_SYSTEM,
        size,
        size,
        *geometry,
        _DYNAMIC,
        0,
        new_identity(),
    )
    return _summed(fields.ljust(SECTOR_SIZE, b"\0"), _CHECKSUM_OFFSET)


def _rounded(sectors: int, *, is_exact: bool) -> tuple[int, Geometry]:
    """(the disk's sectors, its geometry): at least `sectors`. Raises EFBIG."""
    geometry = _LARGEST_GEOMETRY
    if not is_exact:
        wanted = min(sectors, _LARGEST_GEOMETRY.total)
        geometry, more = Geometry(0, 0, 0), 0
        while geometry.total < wanted:
            geometry = _geometry(wanted + more)
            more += 1
    if geometry.total != _LARGEST_GEOMETRY.total:
        return geometry.total, geometry
    if sectors > _MOST_SECTORS:
        raise BlockError.from_errno(errno.EFBIG)
    return sectors, geometry


def _geometry(sectors: int) -> Geometry:
    """The geometry that the format's specification gives a disk of about that many sectors."""
    sectors = min(sectors, _LARGEST_GEOMETRY.total)
    if sectors >= 65535 * 16 * 63:
        return Geometry(sectors // 255 // 16, 16, 255)
    track = 17
    rows = sectors // track
    heads = max(4, -(-rows // 1024))
    for longer in (31, 63):
        if rows < heads * 1024 and heads <= 16:
            break
        track, heads = longer, 16
        rows = sectors // track
    return Geometry(rows // heads, heads, track)


def _checksum(sector: bytes, place: int) -> int:
    """The complement of the sum of all bytes but the checksum's own, four bytes at `place`."""
    return ~(sum(sector) - sum(sector[place : place + 4])) & 0xFFFFFFFF


def _summed(sector: bytes, place: int) -> bytes:
    return sector[:place] + struct.pack(">I", _checksum(sector, place)) + sector[place + 4 :]
