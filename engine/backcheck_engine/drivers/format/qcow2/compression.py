"""Compressed clusters: the descriptor in the L2 entry, and the two codings. No I/O."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.geometry import Geometry
from backcheck_engine.drivers.format.qcow2.header import CompressionType
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED

if TYPE_CHECKING:
    from collections.abc import Callable

SECTOR = 512
_WINDOW_BITS = -12
"""Raw deflate with a window of 4 KiB, which every reader of the format can take."""
_LEVEL = 1


class CompressionError(Exception):
    """Data that does not decompress to a cluster, or cannot be compressed here."""


def descriptor_range(entry: int, geometry: Geometry) -> tuple[int, int]:
    """(host offset, length in bytes) of the compressed data that an L2 entry describes."""
    offset = entry & geometry.compressed_offset_mask
    sectors = (entry >> geometry.compressed_size_shift & geometry.compressed_size_mask) + 1
    return offset, sectors * SECTOR - offset % SECTOR


def make_descriptor(offset: int, length: int, geometry: Geometry) -> int:
    """The L2 entry for `length` bytes of compressed data at a host offset."""
    sectors = (offset + length - 1) // SECTOR - offset // SECTOR
    return COMPRESSED | offset | sectors << geometry.compressed_size_shift


def decompress(kind: int, data: bytes | bytearray | memoryview, cluster_size: int) -> bytes:
    """One cluster from its compressed form, which padding may follow. Raises CompressionError."""
    return _DECOMPRESS[CompressionType(kind)](data, cluster_size)


def compress(kind: int, data: bytes | bytearray | memoryview) -> bytes | None:
    """A cluster's compressed form, or None when that would not be smaller."""
    packed = _COMPRESS[CompressionType(kind)](data)
    return packed if len(packed) < len(data) else None


def _inflate(data: bytes | bytearray | memoryview, cluster_size: int) -> bytes:
    try:
        plain = zlib.decompressobj(_WINDOW_BITS).decompress(data, cluster_size)
    except zlib.error as error:
        raise CompressionError(str(error)) from error
    if len(plain) != cluster_size:
        raise CompressionError("compressed cluster is too short")
    return plain


def _deflate(data: bytes | bytearray | memoryview) -> bytes:
    from isal import isal_zlib

    # 12: the largest window that raw deflate readers with 4 KiB take.
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _WINDOW_BITS)
    return bytes(packer.compress(data)) + bytes(packer.flush())


def _zstd_decompress(data: bytes | bytearray | memoryview, cluster_size: int) -> bytes:
    import zstandard

    try:
        # Never more than a cluster, whatever the data claims to hold.
        plain = zstandard.ZstdDecompressor().stream_reader(bytes(data)).read(cluster_size)
    except zstandard.ZstdError as error:
        raise CompressionError(str(error)) from error
    if len(plain) != cluster_size:
        raise CompressionError("compressed cluster is too short")
    return plain


def _zstd_compress(data: bytes | bytearray | memoryview) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(bytes(data))


_DECOMPRESS: dict[CompressionType, Callable[[bytes | bytearray | memoryview, int], bytes]] = {
    CompressionType.ZLIB: _inflate,
    CompressionType.ZSTD: _zstd_decompress,
}
_COMPRESS: dict[CompressionType, Callable[[bytes | bytearray | memoryview], bytes]] = {
    CompressionType.ZLIB: _deflate,
    CompressionType.ZSTD: _zstd_compress,
}
