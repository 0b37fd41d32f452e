"""Compressed clusters: the descriptor in the L2 entry, and the two codings. No I/O.

What compresses and decompresses lets other threads run meanwhile.
"""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.geometry import Geometry
from backcheck_engine.drivers.format.qcow2.header import CompressionType
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import zstandard

Data = bytes | bytearray | memoryview

SECTOR = 512
_WINDOW_BITS = 12
"""What is deflated here refers back 4 KiB at most, which every reader of the format can take."""
_WIDEST_WINDOW_BITS = 15
"""What others deflated may refer back to anything in its cluster, as far as deflate can: QEMU reads that."""
_LEVEL = 1
_ZSTD_LEVEL = 3
_ZSTD_SHORTEST_MATCH = 4
"""Shorter than the level has it: that costs no time, and makes machine code smaller."""


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


def decompress(kind: int, data: Data, cluster_size: int) -> bytes:
    """One cluster from its compressed form, which padding may follow. Raises CompressionError."""
    return _DECOMPRESS[CompressionType(kind)](data, cluster_size)


def decompress_all(kind: int, pieces: Sequence[Data], cluster_size: int) -> bytes:
    """The clusters of `pieces`, one after the other. Raises CompressionError."""
    unpack = _DECOMPRESS[CompressionType(kind)]
    return b"".join([unpack(piece, cluster_size) for piece in pieces])


def compress(kind: int, data: Data) -> bytes | None:
    """A cluster's compressed form, or None when that would not be smaller."""
    packed = _COMPRESS[CompressionType(kind)](data)
    return packed if len(packed) < len(data) else None


def compress_all(kind: int, data: memoryview, cluster_size: int) -> list[bytes | None]:
    """For each cluster of `data` what `compress` gives; zeroes fill up the last one."""
    starts = range(0, len(data), cluster_size)
    return [compress(kind, filled_up(data[at : at + cluster_size], cluster_size)) for at in starts]


def filled_up(data: memoryview, cluster_size: int) -> Data:
    """A whole cluster: `data`, and zeroes behind it where that is the short end of a disk."""
    return data if len(data) == cluster_size else bytes(data).ljust(cluster_size, b"\0")


def _inflate(data: Data, cluster_size: int) -> bytes:
    from isal import igzip_lib

    try:
        plain = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE, _WIDEST_WINDOW_BITS).decompress(
            data, cluster_size
        )
    except Exception:  # its own class, which its type stubs declare as an instance
        return _inflate_as_qemu(data, cluster_size)
    return plain if len(plain) == cluster_size else _inflate_as_qemu(data, cluster_size)


def _inflate_as_qemu(data: Data, cluster_size: int) -> bytes:
    """By zlib, which decides what QEMU can read."""
    try:
        plain = zlib.decompressobj(-_WIDEST_WINDOW_BITS).decompress(data, cluster_size)
    except zlib.error as error:
        raise CompressionError(str(error)) from error
    if len(plain) != cluster_size:
        raise CompressionError("compressed cluster is too short")
    return plain


def _deflate(data: Data) -> bytes:
    from isal import isal_zlib

    return isal_zlib.compress(data, _LEVEL, -_WINDOW_BITS)


def _zstd_decompress(data: Data, cluster_size: int) -> bytes:
    import zstandard

    try:
        unpacker: zstandard.ZstdDecompressor = _of_this_thread.unpacker
    except AttributeError:
        unpacker = _of_this_thread.unpacker = zstandard.ZstdDecompressor()
    packed = bytes(data)
    try:
        # Never more than a byte above a cluster, whatever the data claims to hold.
        plain = unpacker.stream_reader(packed).read(cluster_size + 1)
        if len(plain) < cluster_size:
            # It may be of several frames; what follows the last one is none of this cluster's.
            plain = unpacker.stream_reader(packed, read_across_frames=True).read(cluster_size)
    except zstandard.ZstdError as error:
        raise CompressionError(str(error)) from error
    if len(plain) != cluster_size:
        raise CompressionError("compressed cluster is too short or too long")
    return plain


def _zstd_compress(data: Data) -> bytes:
    size = len(data)
    packers: dict[int, zstandard.ZstdCompressor] = _of_this_thread.__dict__.setdefault("packers", {})
    if size not in packers:
        packers[size] = _make_zstd_packer(size)
    return packers[size].compress(data)


def _make_zstd_packer(cluster_size: int) -> zstandard.ZstdCompressor:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        _ZSTD_LEVEL, source_size=cluster_size, min_match=_ZSTD_SHORTEST_MATCH
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


_of_this_thread = threading.local()
"""Its `packers` by cluster size, and its `unpacker`: they take long to make, and each serves one thread."""

_DECOMPRESS: dict[CompressionType, Callable[[Data, int], bytes]] = {
    CompressionType.ZLIB: _inflate,
    CompressionType.ZSTD: _zstd_decompress,
}
_COMPRESS: dict[CompressionType, Callable[[Data], bytes]] = {
    CompressionType.ZLIB: _deflate,
    CompressionType.ZSTD: _zstd_compress,
}
