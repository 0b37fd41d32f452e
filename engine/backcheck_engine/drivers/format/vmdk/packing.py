"""Compressed grains: each a marker with its guest sector and its length, and a zlib stream (RFC 1950). No I/O."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from backcheck_engine.block.request import SECTOR_SIZE, Buffer

MARKER: Final = struct.Struct("<QI")
_LEVEL: Final = 3
"""The best that the fast deflate has."""


class BadGrain(Exception):
    """What is there is no compressed grain."""


def pack(guest_offset: int, content: Buffer) -> bytes:
    """A grain with its marker, filled up to whole sectors."""
    from isal import isal_zlib  # late: only such images need it

    data = isal_zlib.compress(content, _LEVEL)
    length = MARKER.size + len(data)
    padding = bytes(-length % SECTOR_SIZE)
    return b"".join((MARKER.pack(guest_offset // SECTOR_SIZE, len(data)), data, padding))


def pack_all(guest_offset: int, content: memoryview, grain_size: int) -> list[bytes]:
    """The grains that `content` fills, of which the last may be a part only."""
    starts = range(0, len(content), grain_size)
    return [pack(guest_offset + at, content[at : at + grain_size]) for at in starts]


def unpack(found: Buffer, grain_size: int, *, has_marker: bool) -> bytes:
    """The content of the grain that `found` begins with. Raises BadGrain."""
    view = memoryview(found)
    if has_marker:
        _, length = MARKER.unpack_from(view)
        if not 0 < length <= len(view):
            raise BadGrain(f"a grain of {length} bytes")
        view = view[MARKER.size : MARKER.size + length]
    return _inflate_fast(view, grain_size) or _inflate(view, grain_size)


def _inflate_fast(data: memoryview, grain_size: int) -> bytes | None:
    """By isal, which is several times as fast; None for what it refuses."""
    from isal import igzip_lib

    inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
    try:
        content = inflater.decompress(data, grain_size)
    except Exception:  # its own class, which its type stubs declare as an instance
        return None
    return content if inflater.eof else None


def _inflate(data: memoryview, grain_size: int) -> bytes:
    """By zlib, which decides what QEMU can read. Raises BadGrain."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, grain_size)
    except zlib.error as error:
        raise BadGrain(str(error)) from error
    if not inflater.eof:
        raise BadGrain("less than a stream, or more than a grain")
    return content
