"""The compressed clusters of a qcow2 image, found by the specification alone, and what must hold of each.

That is: the stream expands to the guest's data (zeroes behind the disk's end), a deflate stream refers back 4 KiB at
most, a zstd frame says how long its content is (readers that expand it in one go need that), the descriptor counts no
sector more than the stream needs, and no two streams touch the same byte.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import zstandard

from tests.compression.inflate import inflate

WINDOW = 4096
SECTOR = 512
OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
COMPRESSED = 1 << 62
EXTENDED_L2 = 1 << 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedCluster:
    """packed: all that the descriptor's sectors hold from `host_offset` on, so other streams too."""

    guest_offset: int
    host_offset: int
    packed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedImage:
    """What an image says of itself, and its compressed clusters by guest offset."""

    cluster_size: int
    zstd: bool
    clusters: tuple[CompressedCluster, ...]


def read_clusters(path: Path) -> CompressedImage:
    """Walk the L1 and L2 tables of an image."""
    image = path.read_bytes()
    (version,) = struct.unpack_from(">I", image, 4)
    cluster_bits, size = struct.unpack_from(">IQ", image, 20)
    l1_size, l1_offset = struct.unpack_from(">IQ", image, 36)
    features, header_length = (0, 72) if version < 3 else (*struct.unpack_from(">Q", image, 72), image[103])
    words = 2 if features & EXTENDED_L2 else 1
    per_table = (1 << cluster_bits) // 8 // words
    found = []
    for index, l1_entry in enumerate(struct.unpack_from(f">{l1_size}Q", image, l1_offset)):
        if not l1_entry & OFFSET_MASK:
            continue
        table = struct.unpack_from(f">{per_table * words}Q", image, l1_entry & OFFSET_MASK)
        for number, entry in enumerate(table[::words]):
            if entry & COMPRESSED:
                offset, length = _place(entry, cluster_bits)
                guest_offset = index * per_table + number << cluster_bits
                assert guest_offset < size, "a compressed cluster behind the end of the disk"
                packed = image[offset : offset + length]
                found.append(CompressedCluster(guest_offset=guest_offset, host_offset=offset, packed=packed))
    zstd = header_length > 104 and image[104] == 1
    return CompressedImage(cluster_size=1 << cluster_bits, zstd=zstd, clusters=tuple(found))


def _place(entry: int, cluster_bits: int) -> tuple[int, int]:
    """(host offset, bytes up to the end of its last sector) of a compressed cluster's descriptor."""
    offset_bits = 62 - (cluster_bits - 8)
    offset = entry & (1 << offset_bits) - 1
    sectors = (entry & COMPRESSED - 1) >> offset_bits
    return offset, (sectors + 1) * SECTOR - offset % SECTOR


def expect_strict(path: Path, content: bytes) -> list[int]:
    """Every compressed cluster of an image is as the head of this file says; their guest offsets."""
    image = read_clusters(path)
    streams = []
    for cluster in image.clusters:
        data, used, far = _expand(cluster, image)
        start = cluster.guest_offset
        assert not far, f"{path.name}: the cluster at {start} refers back {sorted(set(far))}"
        expected = content[start : start + image.cluster_size].ljust(image.cluster_size, b"\0")
        assert data == expected, f"{path.name}: the cluster at {start}"
        sectors = (cluster.host_offset + used - 1) // SECTOR - cluster.host_offset // SECTOR + 1
        held = -(-(cluster.host_offset % SECTOR + len(cluster.packed)) // SECTOR)
        assert held <= sectors, f"{path.name}: the cluster at {start} has {held} sectors and needs {sectors}"
        streams.append((cluster.host_offset, cluster.host_offset + used))
    for (_, end), (start, _) in pairwise(sorted(streams)):
        assert end <= start, f"{path.name}: two streams have the bytes at {start}"
    return [cluster.guest_offset for cluster in image.clusters]


def _expand(cluster: CompressedCluster, image: CompressedImage) -> tuple[bytes, int, list[int]]:
    """(the data, how long the stream is, the distances beyond the window)."""
    if image.zstd:
        assert zstandard.frame_content_size(cluster.packed) == image.cluster_size
        reader = zstandard.ZstdDecompressor().decompressobj()
        data = reader.decompress(cluster.packed)
        return data, len(cluster.packed) - len(reader.unused_data), []
    inflated = inflate(cluster.packed, image.cluster_size)
    return inflated.data, inflated.used, inflated.beyond(WINDOW)
