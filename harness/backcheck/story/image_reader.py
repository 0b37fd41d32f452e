"""Reads image files without any of the programs under test: raw, and qcow2 by its specification.

It is a witness, so it is plain and slow, shares no code with the engine, and refuses what it does not know: encryption,
external data files and unknown incompatible features.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from backcheck.errors import ExpectationFailed, UsageError
from backcheck.json_types import JsonValue

QCOW2_MAGIC = b"QFI\xfb"
L1_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
L2_COMPRESSED = 1 << 62
L2_ZERO = 1
DEFLATE_WINDOW = -12
INCOMPATIBLE_DIRTY, INCOMPATIBLE_CORRUPT, INCOMPATIBLE_COMPRESSION, INCOMPATIBLE_EXTENDED_L2 = 1, 2, 8, 16
KNOWN_INCOMPATIBLE = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_COMPRESSION | INCOMPATIBLE_EXTENDED_L2
SUBCLUSTERS = 32
HEADER_V2_SIZE = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCluster:
    """Guest data that an image file has: the guest's range begins at `guest_offset`, the file's is the other two.

    length: of a compressed cluster that of its stream, without what fills up its last sector.
    """

    guest_offset: int
    host_offset: int
    length: int
    compressed: bool


class Reader(Protocol):
    """A disk's bytes by guest offset."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...


@contextmanager
def read_image(path: Path, format_name: str) -> Iterator[Reader]:
    """A reader for an image file, backing files included. Raises UsageError for what it cannot read."""
    with path.open("rb") as file:
        if format_name == "raw":
            yield RawReader(file)
            return
        if format_name != "qcow2":
            raise UsageError(f"{path.name}: {format_name} images are not read here, only raw and qcow2")
        reader = Qcow2Reader(file, path.name)
        if reader.backing_name is None:
            yield reader
            return
        backing_path = path.parent / file_name(reader.backing_name)
        with read_image(backing_path, reader.backing_format or _probe(backing_path)) as backing:
            reader.backing = backing
            yield reader


def file_name(name: str) -> str:
    """The file that a name in an image means: itself, `file:` and `blkdebug:` before it, or in a `json:` of nodes.

    A relative one counts from the folder of the image that has it. Raises UsageError when there is no file in it.
    """
    if name.startswith("json:"):
        tree: JsonValue = json.loads(name.removeprefix("json:"))
        while isinstance(tree, Mapping) and "filename" not in tree:
            tree = tree.get("file", tree.get("image", tree.get("file.filename")))
        found = tree.get("filename") if isinstance(tree, Mapping) else tree
        if not isinstance(found, str):
            raise UsageError(f"the backing file {name} is not read here: it names no file")
        return file_name(found)
    if name.startswith("blkdebug:"):
        return file_name(name.split(":", 2)[2])
    return name.removeprefix("file:")


class RawReader:
    """A raw file; what is behind its end up to a multiple of 512 reads as zeroes, as QEMU has it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = -(-file.seek(0, 2) // 512) * 512

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length).ljust(length, b"\0")


class Qcow2Reader:
    """A qcow2 file, versions 2 and 3 (docs/interop/qcow2, sections Header and Cluster mapping)."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        header = file.read(104)
        if header[:4] != QCOW2_MAGIC:
            raise UsageError(f"{name} is no qcow2 image")
        version, backing_offset, backing_length, cluster_bits, self.size, encryption, l1_size, l1_offset = (
            struct.unpack_from(">IQIIQIIQ", header, 4)
        )
        incompatible = struct.unpack_from(">Q", header, HEADER_V2_SIZE)[0] if version >= 3 else 0
        if encryption or incompatible & ~KNOWN_INCOMPATIBLE:
            raise UsageError(f"{name}: encryption {encryption}, incompatible features {incompatible:#x} are not read")
        self.cluster_size = 1 << cluster_bits
        self.version = version
        self.extended_l2 = bool(incompatible & INCOMPATIBLE_EXTENDED_L2)
        header_length = struct.unpack_from(">I", header, 100)[0] if version >= 3 else HEADER_V2_SIZE
        self.zstd = self._compression_type(header_length) == 1
        self.backing: Reader | None = None
        self.backing_format: str | None = self._header_extension(header_length, 0xE2792ACA)
        self.backing_name = self._bytes(backing_offset, backing_length).decode() if backing_offset else None
        self._entry_size = 16 if self.extended_l2 else 8
        self._l1 = struct.unpack(f">{l1_size}Q", self._bytes(l1_offset, l1_size * 8))
        self._l2: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            inside = offset % self.cluster_size
            count = min(length, self.cluster_size - inside)
            parts.append(self._cluster(offset - inside)[inside : inside + count])
            offset, length = offset + count, length - count
        return b"".join(parts)

    def stored(self) -> Iterator[StoredCluster]:
        """Where the file has guest data, by guest offset: a final L2 entry each, an extended one for each run."""
        for guest_offset in range(0, self.size, self.cluster_size):
            entry, bitmap = self._l2_entry(guest_offset // self.cluster_size)
            if entry & L2_COMPRESSED:
                host_offset, _ = self._descriptor(entry)
                yield StoredCluster(
                    guest_offset=guest_offset,
                    host_offset=host_offset,
                    length=len(self._stream(entry)[0]),
                    compressed=True,
                )
                continue
            for offset, length in self._allocated(entry, bitmap):
                # What is behind the end of the disk is nobody's data.
                length = min(length, self.size - guest_offset - offset)
                if length > 0:
                    yield StoredCluster(
                        guest_offset=guest_offset + offset,
                        host_offset=(entry & L1_OFFSET_MASK) + offset,
                        length=length,
                        compressed=False,
                    )

    def _allocated(self, entry: int, bitmap: int) -> Iterator[tuple[int, int]]:
        """The runs of a standard cluster that are data: offset in it and length."""
        if self.extended_l2:
            size = self.cluster_size // SUBCLUSTERS
            start = 0
            for index in range(SUBCLUSTERS + 1):
                if index == SUBCLUSTERS or not bitmap >> index & 1:
                    if index > start:
                        yield start * size, (index - start) * size
                    start = index + 1
        elif entry & L1_OFFSET_MASK and not (self.version >= 3 and entry & L2_ZERO):
            yield 0, self.cluster_size

    def _cluster(self, guest_offset: int) -> bytes:
        """The bytes of the cluster that begins at a guest offset."""
        entry, bitmap = self._l2_entry(guest_offset // self.cluster_size)
        if entry & L2_COMPRESSED:
            return self._decompress(entry)
        host_offset = entry & L1_OFFSET_MASK
        if self.extended_l2:
            return self._subclusters(guest_offset, host_offset, bitmap)
        if self.version >= 3 and entry & L2_ZERO:
            return bytes(self.cluster_size)
        if host_offset:
            return self._bytes(host_offset, self.cluster_size)
        return self._below(guest_offset, self.cluster_size)

    def _l2_entry(self, cluster_index: int) -> tuple[int, int]:
        entries = self.cluster_size // self._entry_size
        table_offset = self._l1[cluster_index // entries] & L1_OFFSET_MASK
        if not table_offset:
            return 0, 0
        table = self._l2.setdefault(table_offset, b"") or self._bytes(table_offset, self.cluster_size)
        self._l2[table_offset] = table
        at = cluster_index % entries * self._entry_size
        bitmap = struct.unpack_from(">Q", table, at + 8)[0] if self.extended_l2 else 0
        return struct.unpack_from(">Q", table, at)[0], bitmap

    def _subclusters(self, guest_offset: int, host_offset: int, bitmap: int) -> bytes:
        size = self.cluster_size // SUBCLUSTERS
        parts = []
        for index in range(SUBCLUSTERS):
            if bitmap >> (32 + index) & 1:
                parts.append(bytes(size))
            elif bitmap >> index & 1:
                parts.append(self._bytes(host_offset + index * size, size))
            else:
                parts.append(self._below(guest_offset + index * size, size))
        return b"".join(parts)

    def _decompress(self, entry: int) -> bytes:
        return self._stream(entry)[1]

    def _descriptor(self, entry: int) -> tuple[int, int]:
        """Where a compressed cluster is: `62 - (cluster_bits - 8)` bits of offset, then a number of sectors."""
        offset_bits = 62 - (self.cluster_size.bit_length() - 1 - 8)
        host_offset = entry & ((1 << offset_bits) - 1)
        sectors = (entry & ((1 << 62) - 1)) >> offset_bits
        return host_offset, (sectors + 1) * 512 - host_offset % 512

    def _stream(self, entry: int) -> tuple[bytes, bytes]:
        """A compressed cluster's stream, as long as it really is, and what it expands to.

        Raises ExpectationFailed for one that does not expand, as with a distance beyond its window.
        """
        data = self._bytes(*self._descriptor(entry))
        try:
            expanded, rest = _expand_zstd(data) if self.zstd else _expand_deflated(data, self.cluster_size)
        except ValueError as error:
            place = f"{self._name}: the compressed cluster at host offset {self._descriptor(entry)[0]}"
            raise ExpectationFailed(place, expected="a stream that can be expanded", got=str(error)) from error
        return data[: len(data) - len(rest)], expanded

    def _below(self, guest_offset: int, length: int) -> bytes:
        if self.backing is None or guest_offset >= self.backing.size:
            return bytes(length)
        return self.backing.read(guest_offset, min(length, self.backing.size - guest_offset)).ljust(length, b"\0")

    def _bytes(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length).ljust(length, b"\0")

    def _compression_type(self, header_length: int) -> int:
        return self._bytes(104, 1)[0] if header_length > 104 else 0

    def _header_extension(self, at: int, wanted: int) -> str | None:
        while True:
            kind, length = struct.unpack(">II", self._bytes(at, 8))
            if kind == wanted:
                return self._bytes(at + 8, length).decode()
            if kind == 0:
                return None
            at += 8 + -(-length // 8) * 8


def _expand_deflated(data: bytes, size: int) -> tuple[bytes, bytes]:
    """What a raw deflate stream of that window expands to, and the bytes behind it. Raises ValueError."""
    stream = zlib.decompressobj(DEFLATE_WINDOW)
    try:
        expanded = stream.decompress(data, size)
        stream.decompress(stream.unconsumed_tail)  # the end mark, if the bytes ran out before it
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return expanded, stream.unused_data


def _expand_zstd(data: bytes) -> tuple[bytes, bytes]:
    """What a zstd frame expands to, and the bytes behind it. Raises ValueError."""
    import zstandard  # only a compressed zstd cluster needs it

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        expanded = stream.decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    return expanded, stream.unused_data


def _probe(path: Path) -> str:
    with path.open("rb") as file:
        return "qcow2" if file.read(4) == QCOW2_MAGIC else "raw"
