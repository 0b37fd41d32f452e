"""The header of a qcow image of version 1: its fields, what QEMU verifies of them, and its words when it refuses.

All numbers are big-endian; the header is as long as its fields, and the backing file's name may lie anywhere.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from typing import Final

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.errors import BlockError

MAGIC: Final = b"QFI\xfb"
VERSION: Final = 1
LENGTH: Final = 48
ENTRY_BYTES: Final = 8
"""How long an entry of either table is."""
MAX_BACKING_NAME: Final = 1023
_FIELDS: Final = struct.Struct(">4sIQIIQBBHIQ")
assert _FIELDS.size == LENGTH

_CLUSTER_BITS: Final = range(9, 17)
_L2_BITS: Final = range(6, 14)
_MOST_L1_ENTRIES: Final = (2**31 - 1) // ENTRY_BYTES
_KNOWN_CRYPT_METHODS: Final = (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the header says. A cluster has 2^cluster_bits bytes, an L2 table 2^l2_bits entries."""

    size: int
    cluster_bits: int
    l2_bits: int
    l1_offset: int
    """Where in the file the L1 table begins."""
    backing_offset: int = 0
    """Where in the file the backing file's name begins; 0 without one."""
    backing_length: int = 0
    crypt_method: int = 0
    magic: bytes = MAGIC
    version: int = VERSION

    @property
    def cluster_size(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def l2_entries(self) -> int:
        """How many clusters one L2 table describes."""
        return 1 << self.l2_bits

    @property
    def l1_entries(self) -> int:
        """How many L2 tables the whole disk needs."""
        return -(-self.size >> (self.cluster_bits + self.l2_bits)) if self.size else 0

    def verify(self) -> None:
        """Refuse what QEMU refuses, in its order and words. Raises BlockError."""
        if self.magic != MAGIC:
            raise BlockError("Image not in qcow format", errno.EINVAL)
        if self.version != VERSION:
            hint = "Try the 'qcow2' driver instead." if self.version in (2, 3) else None
            raise BlockError(f"qcow (v1) does not support qcow version {self.version}", errno.ENOTSUP, hint=hint)
        for is_wrong, message in self._objections():
            if is_wrong:
                raise BlockError(message, errno.EINVAL)
        if self.crypt_method:
            raise BlockError("backcheck-engine does not implement encrypted images yet", errno.ENOTSUP)

    def _objections(self) -> list[tuple[bool, str]]:
        return [
            (self.size <= 1, "Image size is too small (must be at least 2 bytes)"),
            (self.cluster_bits not in _CLUSTER_BITS, "Cluster size must be between 512 and 64k"),
            (self.l2_bits not in _L2_BITS, "L2 table size must be between 512 and 64k"),
            (self.crypt_method not in _KNOWN_CRYPT_METHODS, "invalid encryption method in qcow header"),
            (self.l1_entries > _MOST_L1_ENTRIES, "Image too large"),
            (self.backing_offset != 0 and self.backing_length > MAX_BACKING_NAME, "Backing file name too long"),
        ]

    def pack(self) -> bytes:
        """The header as it is in the file."""
        return _FIELDS.pack(
            self.magic,
            self.version,
            self.backing_offset,
            self.backing_length,
            0,
            self.size,
            self.cluster_bits,
            self.l2_bits,
            0,
            self.crypt_method,
            self.l1_offset,
        )


def parse_header(data: bytes) -> Header:
    """The header that these LENGTH bytes are, not yet verified."""
    magic, version, backing_offset, backing_length, _, size, cluster_bits, l2_bits, _, crypt_method, l1_offset = (
        _FIELDS.unpack(data)
    )
    return Header(
        magic=magic,
        version=version,
        size=size,
        cluster_bits=cluster_bits,
        l2_bits=l2_bits,
        l1_offset=l1_offset,
        backing_offset=backing_offset,
        backing_length=backing_length,
        crypt_method=crypt_method,
    )


def new_header(size: int, backing_name: bytes) -> Header:
    """The header of a new image of `size` bytes, a multiple of sectors, as QEMU lays it out.

    An overlay has clusters of one sector, so that no write has to copy what lies beside it.
    """
    name_end = LENGTH + len(backing_name)
    return Header(
        size=size,
        cluster_bits=SECTOR_SIZE.bit_length() - 1 if backing_name else 12,
        l2_bits=12 if backing_name else 9,
        l1_offset=-(-name_end // ENTRY_BYTES) * ENTRY_BYTES,
        backing_offset=LENGTH if backing_name else 0,
        backing_length=len(backing_name),
    )
