"""The header of a QED image. All numbers are little-endian."""

from __future__ import annotations

import errno
import struct
from typing import Final

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.header_only.header import HeaderFile, ImageOutline, NewImage
from backcheck_engine.errors import BlockError

_HEADER_BYTES: Final = 64
_FIELDS: Final = struct.Struct("<4sIIIQQQQQII")
_MAGIC: Final = b"QED\0"
_ENTRY_BYTES: Final = 8
_CLUSTERS: Final = (4096, 64 * 1024 * 1024)
_TABLES: Final = (1, 16)
_MAX_BACKING_NAME: Final = 1023
_HAS_BACKING, _NEEDS_CHECK, _RAW_BACKING = 1, 2, 4
_KNOWN_FEATURES: Final = _HAS_BACKING | _NEEDS_CHECK | _RAW_BACKING


async def parse(file: HeaderFile) -> ImageOutline:
    """What the header says. Raises BlockError in QEMU's words."""
    magic, cluster, table, header, features, _, _, l1_offset, size, name_offset, name_length = _FIELDS.unpack(
        await file.read(0, _FIELDS.size)
    )
    if magic != _MAGIC:
        raise BlockError("Image not in QED format", errno.EINVAL)
    if unknown := features & ~_KNOWN_FEATURES:
        raise BlockError(f"Unsupported QED features: {unknown:x}", errno.ENOTSUP)
    for is_wrong, what in (
        (not _is_power_within(cluster, _CLUSTERS), "cluster size"),
        (not _is_power_within(table, _TABLES), "table size"),
        (size % SECTOR_SIZE != 0 or size > _largest(cluster, table), "image size"),
        (
            l1_offset % max(cluster, 1) != 0
            or l1_offset < header * cluster
            or l1_offset + table * cluster > max(file.size, 0),
            "table offset",
        ),
    ):
        if is_wrong:
            raise BlockError(f"QED {what} is invalid", errno.EINVAL)
    if features & _HAS_BACKING and name_offset + name_length > header * cluster:
        raise BlockError("QED backing filename offset is invalid", errno.EINVAL)
    if features & _HAS_BACKING and name_length > _MAX_BACKING_NAME:
        raise BlockError("Failed to read backing filename", errno.EINVAL)
    return ImageOutline(
        size=size,
        cluster_size=cluster,
        backing_place=(name_offset, name_length) if features & _HAS_BACKING else None,
        backing_format="raw" if features & _RAW_BACKING else "",
    )


def new_image(
    size: int, *, cluster: int, table: int, backing_file: str = "", backing_format: str | None = None
) -> NewImage:
    """An empty image of `size` bytes, a multiple of sectors: header, backing file name, an L1 table of zeroes.

    A cluster is that many bytes, a table that many clusters. Raises BlockError in QEMU's words.
    """
    if not _is_power_within(cluster, _CLUSTERS):
        bounds = f"[{_CLUSTERS[0]}, {_CLUSTERS[1]}]"
        raise BlockError(f"QED cluster size must be within range {bounds} and power of 2", errno.EINVAL)
    if not _is_power_within(table, _TABLES):
        bounds = f"[{_TABLES[0]}, {_TABLES[1]}]"
        raise BlockError(f"QED table size must be within range {bounds} and power of 2", errno.EINVAL)
    largest = _largest(cluster, table)
    if size > largest:
        raise BlockError(
            f"QED image size must be a non-zero multiple of cluster size and less than {largest} bytes", errno.EINVAL
        )
    name = backing_file.encode("utf-8", "surrogateescape")
    features = (_HAS_BACKING if name else 0) | (_RAW_BACKING if name and backing_format == "raw" else 0)
    place = (_HEADER_BYTES, len(name)) if name else (0, 0)
    header = _FIELDS.pack(_MAGIC, cluster, table, 1, features, 0, 0, cluster, size, *place)
    return NewImage(parts=((0, header.ljust(_HEADER_BYTES, b"\0") + name),), length=cluster * (1 + table))


def _is_power_within(number: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= number <= bounds[1] and not number & (number - 1)


def _largest(cluster: int, table: int) -> int:
    entries = cluster * table // _ENTRY_BYTES
    return min(entries * entries * cluster, 2**64 - 1)
