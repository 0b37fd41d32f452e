"""The header cluster of an image: fields, feature bits, extensions and backing file name, to and from bytes.

Nothing here does I/O. `parse_header` refuses what QEMU refuses, in its words and its order.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from backcheck_engine.drivers.format.qcow2.geometry import MAX_CLUSTER_BITS, MIN_CLUSTER_BITS, Geometry
from backcheck_engine.errors import BlockError

MAGIC = b"QFI\xfb"
V2_LENGTH = 72
V3_LENGTH = 112
"""Header length of the images we write: version 3 with the compression type and its padding."""
MIN_V3_LENGTH = 104
MAX_BACKING_NAME = 1023
MAX_REFCOUNT_ORDER = 6
MAX_REFCOUNT_TABLE = 8 << 20
MAX_L1 = 32 << 20
MAX_SNAPSHOTS = 65536
SNAPSHOT_HEADER_LENGTH = 40

_MAX_BITS_WITHOUT_NAMES = 12
"""Up to clusters of this size QEMU leaves the room in the header cluster to the backing file's name."""

_V2_FIELDS = struct.Struct(">4sIQIIQIIQQIIQ")
_V3_FIELDS = struct.Struct(">QQQII")


class Incompatible(enum.IntFlag):
    """Features without which an image must not be opened."""

    DIRTY = 1
    CORRUPT = 2
    DATA_FILE = 4
    COMPRESSION = 8
    EXTENDED_L2 = 16


class Compatible(enum.IntFlag):
    """Features that a reader may ignore."""

    LAZY_REFCOUNTS = 1


class Autoclear(enum.IntFlag):
    """Features whose bit is cleared by whoever writes to the image without knowing them."""

    BITMAPS = 1
    DATA_FILE_RAW = 2


_NO_INCOMPATIBLE = Incompatible(0)
_NO_COMPATIBLE = Compatible(0)
_NO_AUTOCLEAR = Autoclear(0)
KNOWN_INCOMPATIBLE = 0x1F
KNOWN_AUTOCLEAR = 0x3


class ExtensionType(enum.IntEnum):
    """Header extensions that mean something to the engine."""

    END = 0
    BACKING_FORMAT = 0xE2792ACA
    FEATURE_NAMES = 0x6803F857
    BITMAPS = 0x23852875
    ENCRYPTION = 0x0537BE77
    DATA_FILE = 0x44415441


class CompressionType(enum.IntEnum):
    """How compressed clusters are coded."""

    ZLIB = 0
    ZSTD = 1


FEATURE_NAMES: tuple[tuple[int, int, bytes], ...] = (
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 3, b"compression type"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
    (2, 0, b"bitmaps"),
    (2, 1, b"raw external data"),
)
"""Kind of feature, bit, name: the table that QEMU stores in each version 3 image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One header extension, kept as it is when its type means nothing to us."""

    type: int
    data: bytes


BITMAPS_FIELDS = struct.Struct(">IIQQ")
"""The bitmaps extension: count, reserved, directory size, directory offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitmapsExtension:
    """Where the directory of persistent bitmaps is."""

    count: int
    directory_size: int
    directory_offset: int

    def pack(self) -> bytes:
        """The extension's data."""
        return BITMAPS_FIELDS.pack(self.count, 0, self.directory_size, self.directory_offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """An image's header. Offsets are host offsets in bytes."""

    version: int = 3
    cluster_bits: int = 16
    size: int = 0
    crypt_method: int = 0
    l1_size: int = 0
    """Entries of the active L1 table."""
    l1_offset: int = 0
    refcount_table_offset: int = 0
    refcount_table_clusters: int = 0
    snapshot_count: int = 0
    snapshots_offset: int = 0
    incompatible: Incompatible = _NO_INCOMPATIBLE
    compatible: Compatible = _NO_COMPATIBLE
    autoclear: Autoclear = _NO_AUTOCLEAR
    refcount_order: int = 4
    length: int = V3_LENGTH
    compression_type: int = CompressionType.ZLIB
    backing_offset: int = 0
    backing_name_length: int = 0
    backing_name: str = ""
    backing_format: str = ""
    data_file: str = ""
    bitmaps: BitmapsExtension | None = None
    has_stale_bitmaps: bool = False
    """Whether there was a bitmaps extension that is not to be trusted, nor to be written again."""
    encryption: bytes = b""
    unknown_fields: bytes = b""
    """Header bytes after those that are known, kept on update."""
    unknown_extensions: tuple[Extension, ...] = field(default=())

    def geometry(self) -> Geometry:
        """Sizes that follow from this header."""
        return Geometry.of(
            self.cluster_bits,
            extended_l2=Incompatible.EXTENDED_L2 in self.incompatible,
            refcount_order=self.refcount_order,
        )


def feature_table() -> bytes:
    """The data of the feature name table extension."""
    return b"".join(struct.pack("BB46s", *row) for row in FEATURE_NAMES)


def parse_header(data: bytes) -> Header:
    """Read the fields before the extensions from the image's first bytes (112 or more when the file has them).

    Raises BlockError with QEMU's text for what QEMU refuses at this point; unsupported features are
    judged later, by `check_features`, since their names come from an extension.
    """
    if len(data) < V2_LENGTH:
        data = data.ljust(V3_LENGTH, b"\0")
    values = _V2_FIELDS.unpack_from(data)
    magic, version, backing_offset, backing_length, cluster_bits = values[:5]
    if magic != MAGIC:
        raise BlockError("Image is not in qcow2 format", errno.EINVAL)
    if version not in (2, 3):
        raise BlockError(f"Unsupported qcow2 version {version}", errno.ENOTSUP)
    if not MIN_CLUSTER_BITS <= cluster_bits <= MAX_CLUSTER_BITS:
        raise BlockError(f"Unsupported cluster size: 2^{cluster_bits}", errno.EINVAL)
    incompatible = compatible = autoclear = 0
    order, length = 4, V2_LENGTH
    if version == 3:
        incompatible, compatible, autoclear, order, length = _V3_FIELDS.unpack_from(data.ljust(V3_LENGTH, b"\0"), 72)
        if length < MIN_V3_LENGTH:
            raise BlockError("qcow2 header too short", errno.EINVAL)
    if length > 1 << cluster_bits:
        raise BlockError("qcow2 header exceeds cluster size", errno.EINVAL)
    if backing_offset > 1 << cluster_bits:
        raise BlockError("Invalid backing file offset", errno.EINVAL)
    compression = data[104] if length > MIN_V3_LENGTH and len(data) > 104 else CompressionType.ZLIB
    size, crypt, l1_size, l1_offset, table_offset, table_clusters, snapshots, snapshots_offset = values[5:]
    return Header(
        version=version,
        cluster_bits=cluster_bits,
        size=size,
        crypt_method=crypt,
        l1_size=l1_size,
        l1_offset=l1_offset,
        refcount_table_offset=table_offset,
        refcount_table_clusters=table_clusters,
        snapshot_count=snapshots,
        snapshots_offset=snapshots_offset,
        incompatible=Incompatible(incompatible),
        compatible=Compatible(compatible),
        autoclear=Autoclear(autoclear),
        refcount_order=order,
        length=length,
        compression_type=compression,
        backing_offset=backing_offset,
        backing_name_length=backing_length,
    )


def check_features(header: Header, area: bytes) -> None:
    """Refuse unknown incompatible features and a bad compression type, as QEMU does before it trusts the rest.

    `area` is the header cluster, in which the names of the features are looked up.
    """
    has_bit = Incompatible.COMPRESSION in header.incompatible
    if header.compression_type not in tuple(CompressionType):
        raise BlockError(f"qcow2: unknown compression type: {header.compression_type}", errno.ENOTSUP)
    if header.compression_type == CompressionType.ZLIB and has_bit:
        raise BlockError("qcow2: Compression type incompatible feature bit must not be set", errno.EINVAL)
    if header.compression_type != CompressionType.ZLIB and not has_bit:
        raise BlockError("qcow2: Compression type incompatible feature bit must be set", errno.EINVAL)
    unknown = int(header.incompatible) & ~KNOWN_INCOMPATIBLE
    if unknown:
        raise BlockError(f"Unsupported qcow2 feature(s): {_feature_list(header, area, unknown)}", errno.ENOTSUP)


def _feature_list(header: Header, area: bytes, unknown: int) -> str:
    names: list[str] = []
    table = b""
    try:
        table = next((e.data for e in iter_extensions(header, area) if e.type == ExtensionType.FEATURE_NAMES), b"")
    except BlockError:
        table = b""
    for at in range(0, len(table) - len(table) % 48, 48):
        kind, bit = table[at], table[at + 1]
        name = table[at + 2 : at + 48].split(b"\0")[0].decode("utf-8", "replace")
        if kind == 0 and bit < 64 and name and unknown >> bit & 1:
            names.append(name)
            unknown &= ~(1 << bit)
    if unknown:
        names.append(f"Unknown incompatible feature: {unknown:x}")
    return ", ".join(names)


def iter_extensions(header: Header, area: bytes) -> Iterator[Extension]:
    """The extensions in the header cluster `area`, up to the end marker or the backing file name.

    Raises BlockError("Header extension too large") as QEMU does for one that leaves the area.
    """
    at = header.length
    end = header.backing_offset or 1 << header.cluster_bits
    while at < end:
        kind, length = struct.unpack_from(">II", area.ljust(at + 8, b"\0"), at)
        at += 8
        if at > end or length > end - at:
            raise BlockError("Header extension too large", errno.EINVAL)
        if kind == ExtensionType.END:
            return
        yield Extension(type=kind, data=bytes(area[at : at + length]).ljust(length, b"\0"))
        at += (length + 7) & ~7


def validate_table(offset: int, entries: int, entry_length: int, max_size: int, name: str, geometry: Geometry) -> None:
    """Refuse a table that is too large, not aligned to a cluster, or beyond the largest file offset."""
    if entries > max_size // entry_length:
        raise BlockError(f"{name} too large", errno.EFBIG)
    if offset > (1 << 63) - 1 - entries * entry_length or offset & geometry.cluster_mask:
        raise BlockError(f"{name} offset invalid", errno.EINVAL)


def check_tables(header: Header, *, repairing: bool) -> Geometry:
    """Validate refcount table, snapshot table and L1 table as the header describes them, in QEMU's order.

    Returns the image's geometry, which makes sense only for a header that passes.
    """
    if header.refcount_order > MAX_REFCOUNT_ORDER:
        raise BlockError("Reference count entry width too large; may not exceed 64 bits", errno.EINVAL)
    if header.crypt_method > 2:
        method = header.crypt_method - (header.crypt_method >> 31 << 32)
        raise BlockError(f"Unsupported encryption method {method}", errno.EINVAL)
    geometry = header.geometry()
    if header.refcount_table_clusters == 0 and not repairing:
        raise BlockError("Image does not contain a reference count table", errno.EINVAL)
    validate_table(
        header.refcount_table_offset,
        header.refcount_table_clusters,
        geometry.cluster_size,
        MAX_REFCOUNT_TABLE,
        "Reference count table",
        geometry,
    )
    if not repairing:
        validate_table(
            header.snapshots_offset,
            header.snapshot_count,
            SNAPSHOT_HEADER_LENGTH,
            SNAPSHOT_HEADER_LENGTH * MAX_SNAPSHOTS,
            "Snapshot table",
            geometry,
        )
    validate_table(header.l1_offset, header.l1_size, 8, MAX_L1, "Active L1 table", geometry)
    needed = geometry.l1_entries(header.size)
    if needed > 0x7FFFFFFF:
        raise BlockError("Image is too big", errno.EFBIG)
    if header.l1_size < needed:
        raise BlockError("L1 table is too small", errno.EINVAL)
    return geometry


def pack_header(header: Header) -> bytes:
    """The whole header cluster. Raises BlockError(ENOSPC) when extensions and backing file name do not fit."""
    cluster_size = 1 << header.cluster_bits
    body = [b"", b""]
    length = V2_LENGTH
    if header.version >= 3:
        length = max(header.length, V3_LENGTH)
        body[1] = _V3_FIELDS.pack(
            header.incompatible, header.compatible, header.autoclear, header.refcount_order, length
        ) + bytes([header.compression_type]).ljust(V3_LENGTH - MIN_V3_LENGTH, b"\0")
        body[1] += header.unknown_fields
    body += [_pack_extension(extension) for extension in _extensions(header)]
    body.append(bytes(8))
    backing_offset = 0
    name = header.backing_name.encode()
    if name:
        backing_offset = V2_LENGTH + sum(map(len, body))
        body.append(name)
    body[0] = _V2_FIELDS.pack(
        MAGIC,
        header.version,
        backing_offset,
        len(name),
        header.cluster_bits,
        header.size,
        header.crypt_method,
        header.l1_size,
        header.l1_offset,
        header.refcount_table_offset,
        header.refcount_table_clusters,
        header.snapshot_count,
        header.snapshots_offset,
    )
    packed = b"".join(body)
    if len(packed) > cluster_size:
        raise BlockError("No space left on device", errno.ENOSPC)
    return packed.ljust(cluster_size, b"\0")


def _extensions(header: Header) -> Iterator[Extension]:
    """The extensions that a header with these values carries, in the order in which QEMU stores them."""
    if header.backing_format:
        yield Extension(type=ExtensionType.BACKING_FORMAT, data=header.backing_format.encode())
    if header.data_file:
        yield Extension(type=ExtensionType.DATA_FILE, data=header.data_file.encode())
    if header.encryption:
        yield Extension(type=ExtensionType.ENCRYPTION, data=header.encryption)
    if header.version >= 3 and header.cluster_bits > _MAX_BITS_WITHOUT_NAMES:
        yield Extension(type=ExtensionType.FEATURE_NAMES, data=feature_table())
    if header.bitmaps is not None:
        yield Extension(type=ExtensionType.BITMAPS, data=header.bitmaps.pack())
    yield from header.unknown_extensions


def _pack_extension(extension: Extension) -> bytes:
    padded = extension.data.ljust((len(extension.data) + 7) & ~7, b"\0")
    return struct.pack(">II", extension.type, len(extension.data)) + padded
