"""Streams that no QEMU writes, in a compressed cluster: the engine reads those that QEMU reads, and no others."""

import random
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import zstandard

from backcheck.sizes import KiB
from backcheck_engine.errors import BlockError
from tests.compression.clusters import COMPRESSED, OFFSET_MASK, SECTOR
from tests.qcow2.qemu import needs_qemu, opened, qemu_img, qemu_io, run, tool

CLUSTER: Final = 64 * KiB
TEXT: Final = b"ab" * (CLUSTER // 2)
FAR: Final = (random.Random(6).randbytes(20 * KiB) * 4)[:CLUSTER]
"""What comes again does so behind more than 4 KiB."""


def _deflate(data: bytes, window_bits: int) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -window_bits)
    return packer.compress(data) + packer.flush()


def _frame(data: bytes, *, with_size: bool = True, with_checksum: bool = False) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=with_size, write_checksum=with_checksum).compress(data)


STREAMS: Final[Mapping[str, tuple[str, bytes, bytes]]] = {
    "deflated": ("zlib", TEXT, _deflate(TEXT, 12)),
    "deflated over 32 KiB": ("zlib", FAR, _deflate(FAR, 15)),
    "deflated, longer": ("zlib", TEXT, _deflate(TEXT * 2, 12)),
    "deflated, without an end": ("zlib", TEXT, _deflate(TEXT + b"more", 12)[:-2]),
    "deflated, too short": ("zlib", b"", _deflate(TEXT[:-1], 12)),
    "a frame": ("zstd", TEXT, _frame(TEXT)),
    "a frame that does not tell its size": ("zstd", TEXT, _frame(TEXT, with_size=False)),
    "a frame with a checksum": ("zstd", TEXT, _frame(TEXT, with_checksum=True)),
    "a frame with a wrong checksum": ("zstd", b"", _frame(TEXT, with_checksum=True)[:-1] + b"\x55"),
    "a longer frame": ("zstd", b"", _frame(TEXT + b"more")),
    "a far longer frame": ("zstd", b"", _frame(TEXT * 100)),
    "a shorter frame": ("zstd", b"", _frame(TEXT[:-1])),
    "two frames": ("zstd", TEXT, _frame(TEXT[:1000]) + _frame(TEXT[1000:])),
    "a frame to be skipped, and one": ("zstd", TEXT, struct.pack("<II", 0x184D2A50, 4) + b"skip" + _frame(TEXT)),
}
"""Name -> (coding, the cluster that QEMU reads or nothing, the stream)."""


def _put(image: Path, stream: bytes) -> None:
    """Make the first two clusters of an image, which have plain data, compressed ones: that stream is in both."""
    data = bytearray(image.read_bytes())
    (l1_table,) = struct.unpack_from(">Q", data, 40)
    l2_table = struct.unpack_from(">Q", data, l1_table)[0] & OFFSET_MASK
    host = struct.unpack_from(">Q", data, l2_table)[0] & OFFSET_MASK
    sectors = (len(stream) - 1) // SECTOR
    entry = COMPRESSED | host | sectors << (62 - (16 - 8))
    struct.pack_into(">2Q", data, l2_table, entry, entry)
    data[host : host + CLUSTER] = stream.ljust(CLUSTER, b"\0")
    image.write_bytes(data)


def _read(image: Path, length: int) -> bytes:
    """What the engine reads from the front of an image; nothing if it cannot."""

    async def read() -> bytes:
        async with opened(image, **{"read-only": True}) as node:
            try:
                return bytes(await node.pread(0, length))
            except BlockError:
                return b""

    return run(read)


@needs_qemu
@pytest.mark.parametrize("name", STREAMS)
def test_the_engine_reads_what_qemu_reads(name: str, tmp_path: Path) -> None:
    coding, expected, stream = STREAMS[name]
    image, raw = tmp_path / "disk.qcow2", tmp_path / "disk.raw"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"compression_type={coding}", image, str(2 * CLUSTER))
    qemu_io(image, f"write -P 0x11 0 {2 * CLUSTER}")
    _put(image, stream)

    told = tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw)
    assert (told.returncode == 0) == bool(expected), told.stderr
    if expected:
        assert raw.read_bytes() == expected * 2
    # A part of a cluster, and several clusters, are read in ways of their own.
    assert _read(image, 100) == expected[:100]
    assert _read(image, 2 * CLUSTER) == expected * 2
