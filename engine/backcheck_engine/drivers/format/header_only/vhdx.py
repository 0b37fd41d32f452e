"""The headers, region tables and metadata of a VHDX image that grows. All numbers are little-endian.

Two headers, of which the valid one with the higher sequence number counts, and two copies of one region table say where
the block allocation table and the metadata lie; the disk's size is an item of the metadata.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.header_only.crc32c import crc32c
from backcheck_engine.drivers.format.header_only.header import HeaderFile, ImageOutline, NewImage, new_identity
from backcheck_engine.errors import BlockError

KiB, MiB = 1 << 10, 1 << 20
GiB, TiB = 1 << 30, 1 << 40

_SIGNATURE: Final = b"vhdxfile"
_CREATOR: Final = "backcheck-engine".encode("utf-16-le")
_HEADER: Final = struct.Struct("<4sIQ16s16s16sHHIQ")
_HEADER_LENGTH: Final = 4 * KiB
_HEADER_PLACES: Final = (64 * KiB, 128 * KiB)
_HEADER_MAGIC: Final = b"head"
_VERSION: Final = 1
_REGIONS: Final = struct.Struct("<4sIII")
_REGION: Final = struct.Struct("<16sQII")
_REGIONS_LENGTH: Final = 64 * KiB
_REGION_PLACES: Final = (192 * KiB, 256 * KiB)
_REGIONS_MAGIC: Final = b"regi"
_MOST_REGIONS: Final = 2047
_CHECKSUM_OFFSET: Final = 4
_METADATA: Final = struct.Struct("<8sHH20x")
_ITEM: Final = struct.Struct("<16sIII4x")
_METADATA_MAGIC: Final = b"metadata"
_ITEMS_OFFSET: Final = 64 * KiB
_LOG_OFFSET: Final = MiB
_BEHIND_METADATA: Final = 4 * MiB
"""How much longer QEMU makes the file than what it writes."""
_ENTRY_BYTES: Final = 8
_ZERO_BLOCK: Final = 2
"""The state of a block that reads as zeroes."""
_SECTORS_OF_A_BITMAP: Final = 2**23
_LARGEST: Final = 64 * TiB
_BLOCK_SIZES: Final = ((32 * TiB, 64 * MiB), (100 * GiB, 32 * MiB), (GiB, 16 * MiB), (-1, 8 * MiB))
"""For disks above that size, blocks of that size."""
_MOST_BLOCK: Final = 256 * MiB
_MOST_LOG: Final = 4 * GiB - MiB
_LOG_TOO_LARGE: Final = "Log size must be smaller than 4 GB"


def _guid(text: str) -> bytes:
    """An identity as the format stores it: the first three groups are numbers, so little-endian."""
    first, second, third, *rest = text.split("-")
    return struct.pack("<IHH", int(first, 16), int(second, 16), int(third, 16)) + bytes.fromhex("".join(rest))


_TABLE_REGION: Final = _guid("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA_REGION: Final = _guid("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_FILE_PARAMETERS: Final = _guid("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE: Final = _guid("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_PAGE_83: Final = _guid("beca12ab-b2e6-4523-93ef-c309e000c746")
_LOGICAL_SECTOR: Final = _guid("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR: Final = _guid("cda348c7-445d-4471-9cc9-e9885251c556")
_REQUIRED, _OF_THE_DISK = 4, 2
_HAS_PARENT: Final = 2


async def parse(file: HeaderFile) -> ImageOutline:
    """What the headers, the region table and the metadata say. Raises BlockError in QEMU's words."""
    if await file.read(0, len(_SIGNATURE)) != _SIGNATURE:
        raise file.refusal(errno.EINVAL)
    if not any([await _is_header(file, place) for place in _HEADER_PLACES]):
        raise BlockError("No valid VHDX header found", errno.EINVAL)
    regions = await _find_regions(file)
    items = await _find_items(file, *regions[_METADATA_REGION])
    missing = {_FILE_PARAMETERS, _DISK_SIZE, _PAGE_83, _LOGICAL_SECTOR, _PHYSICAL_SECTOR}.difference(items)
    if missing:
        raise file.refusal(errno.ENOTSUP)
    block, flags = struct.unpack("<II", await file.read(items[_FILE_PARAMETERS], 8))
    (size,) = struct.unpack("<Q", await file.read(items[_DISK_SIZE], 8))
    (sector,) = struct.unpack("<I", await file.read(items[_LOGICAL_SECTOR], 4))
    if sector != SECTOR_SIZE:
        raise file.refusal(errno.ENOTSUP)
    if flags & _HAS_PARENT or not MiB <= block <= _MOST_BLOCK or block & (block - 1):
        raise file.refusal(errno.EINVAL)
    if _entries(size, block) * _ENTRY_BYTES > regions[_TABLE_REGION][1]:
        raise file.refusal(errno.EINVAL)
    return ImageOutline(size=size // SECTOR_SIZE * SECTOR_SIZE, cluster_size=block)


async def _is_header(file: HeaderFile, place: int) -> bool:
    """Whether there is a valid header."""
    data = await file.read(place, _HEADER_LENGTH)
    magic, checksum, _, _, _, _, _, version, _, _ = _HEADER.unpack_from(data)
    return bool(magic == _HEADER_MAGIC and version == _VERSION and checksum == _checksum(data))


async def _find_regions(file: HeaderFile) -> dict[bytes, tuple[int, int]]:
    """(offset, length) of each region, both of ours among them, from the copy of their table that QEMU reads."""
    data = await file.read(_REGION_PLACES[0], _REGIONS_LENGTH)
    magic, checksum, count, _ = _REGIONS.unpack_from(data)
    if magic != _REGIONS_MAGIC or count > _MOST_REGIONS or checksum != _checksum(data):
        raise file.refusal(errno.EINVAL)
    regions = {
        identity: (place, length)
        for identity, place, length, _ in (
            _REGION.unpack_from(data, _REGIONS.size + number * _REGION.size) for number in range(count)
        )
    }
    if _METADATA_REGION not in regions or _TABLE_REGION not in regions:
        raise file.refusal(errno.EINVAL)
    return regions


async def _find_items(file: HeaderFile, place: int, length: int) -> dict[bytes, int]:
    """Where in the file each item of the metadata is."""
    try:
        data = await file.read(place, _ITEMS_OFFSET)
    except BlockError as error:
        raise file.refusal(errno.EINVAL) from error
    magic, _, count = _METADATA.unpack_from(data)
    if magic != _METADATA_MAGIC or count > _MOST_REGIONS:
        raise file.refusal(errno.EINVAL)
    items = {}
    for number in range(count):
        identity, offset, size, _ = _ITEM.unpack_from(data, _METADATA.size + number * _ITEM.size)
        if offset < _ITEMS_OFFSET or offset + size > length:
            raise file.refusal(errno.EINVAL)
        items[identity] = place + offset
    return items


def new_image(size: int, *, block: int, log: int, zero_blocks: bool) -> NewImage:
    """An empty image of `size` bytes, a multiple of sectors; `block` 0 lets the size decide.

    zero_blocks: whether the table says of every block that it is zero, rather than that it is not there. Raises
    BlockError in QEMU's words.
    """
    if size > _LARGEST:
        raise BlockError("Image size too large; max of 64TB", errno.EINVAL)
    if not log or log > _MOST_LOG:
        raise BlockError("Log size must be a multiple of 1 MB" if not log else _LOG_TOO_LARGE, errno.EINVAL)
    log = _whole_mib(log)
    block = min(_whole_mib(block), _MOST_BLOCK) or next(fits for above, fits in _BLOCK_SIZES if size > above)
    if block & (block - 1):
        raise BlockError("Block size must be a power of two", errno.EINVAL)
    table = _table(size, block, zero_blocks=zero_blocks)
    table_length = _whole_mib(_entries(size, block) * _ENTRY_BYTES)
    metadata = _LOG_OFFSET + log + table_length
    identities = new_identity(), new_identity()
    headers = [_header(number, identities, log) for number in range(len(_HEADER_PLACES))]
    regions = _regions(_LOG_OFFSET + log, table_length, metadata)
    return NewImage(
        parts=(
            (0, _SIGNATURE + _CREATOR),
            *zip(_HEADER_PLACES, headers, strict=True),
            *((place, regions) for place in _REGION_PLACES),
            (_LOG_OFFSET + log, table or bytes(_ENTRY_BYTES)),
            (metadata, _metadata(size, block)),
        ),
        length=metadata + MiB + _BEHIND_METADATA,
    )


def _whole_mib(number: int) -> int:
    return -(-number // MiB) * MiB


def _table(size: int, block: int, *, zero_blocks: bool) -> bytes:
    """The block allocation table: behind each so many blocks there is an entry for a bitmap, which nobody has."""
    blocks, ratio = -(-size // block), _blocks_of_a_bitmap(block)
    entry = (_ZERO_BLOCK if zero_blocks else 0).to_bytes(_ENTRY_BYTES, "little")
    whole, rest = divmod(blocks, ratio)
    return (entry * ratio + bytes(_ENTRY_BYTES)) * whole + entry * rest


def _entries(size: int, block: int) -> int:
    """How many entries QEMU wants the table to have, in its 32 bits: many, where the disk has no size."""
    blocks = -(-size // block) % 2**32
    return (blocks + (blocks - 1) % 2**32 // _blocks_of_a_bitmap(block)) % 2**32


def _blocks_of_a_bitmap(block: int) -> int:
    return _SECTORS_OF_A_BITMAP * SECTOR_SIZE // block


def _header(number: int, identities: tuple[bytes, bytes], log: int) -> bytes:
    fields = _HEADER.pack(_HEADER_MAGIC, 0, number, *identities, bytes(16), 0, _VERSION, log, _LOG_OFFSET)
    return _summed(fields.ljust(_HEADER_LENGTH, b"\0"))


def _regions(table: int, table_length: int, metadata: int) -> bytes:
    entries = _REGION.pack(_TABLE_REGION, table, table_length, 0) + _REGION.pack(_METADATA_REGION, metadata, MiB, 0)
    return _summed((_REGIONS.pack(_REGIONS_MAGIC, 0, 2, 0) + entries).ljust(_REGIONS_LENGTH, b"\0"))


def _metadata(size: int, block: int) -> bytes:
    """The table of items, and the items."""
    items = (
        (_FILE_PARAMETERS, struct.pack("<II", block, 0), _REQUIRED),
        (_DISK_SIZE, struct.pack("<Q", size), _REQUIRED | _OF_THE_DISK),
        (_PAGE_83, new_identity(), _REQUIRED | _OF_THE_DISK),
        (_LOGICAL_SECTOR, struct.pack("<I", SECTOR_SIZE), _REQUIRED | _OF_THE_DISK),
        (_PHYSICAL_SECTOR, struct.pack("<I", SECTOR_SIZE), _REQUIRED | _OF_THE_DISK),
    )
    table, values = _METADATA.pack(_METADATA_MAGIC, 0, len(items)), b""
    for identity, value, flags in items:
        table += _ITEM.pack(identity, _ITEMS_OFFSET + len(values), len(value), flags)
        values += value
    return table.ljust(_ITEMS_OFFSET, b"\0") + values


def _checksum(data: bytes) -> int:
    """The checksum of a header or a region table, whose own four bytes count as zeroes."""
    return crc32c(data[:_CHECKSUM_OFFSET] + bytes(4) + data[_CHECKSUM_OFFSET + 4 :])


def _summed(data: bytes) -> bytes:
    return data[:_CHECKSUM_OFFSET] + struct.pack("<I", _checksum(data)) + data[_CHECKSUM_OFFSET + 4 :]
