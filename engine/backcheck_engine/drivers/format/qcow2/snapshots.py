"""The table of internal snapshots: read, validated and kept. Their clusters are protected by refcounts alone."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from backcheck_engine.block.image_upkeep import Snapshot
from backcheck_engine.drivers.format.qcow2.header import SNAPSHOT_HEADER_LENGTH
from backcheck_engine.errors import BlockError

_FIELDS = struct.Struct(">QIHHIIQII")
assert _FIELDS.size == SNAPSHOT_HEADER_LENGTH
_MAX_EXTRA = 1024
_MAX_TABLE = 64 << 20
"""The longest snapshot table that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSnapshot:
    """One internal snapshot. Times: seconds and nanoseconds of the date, nanoseconds of the VM's clock."""

    id: str
    name: str
    l1_offset: int
    l1_size: int
    date_s: int
    date_ns: int
    vm_clock_ns: int
    vm_state_size: int
    disk_size: int
    """The size of the disk when the snapshot was taken."""
    icount: int | None
    extra: bytes
    """Extra data after the fields that are known."""

    def summary(self) -> Snapshot:
        """What tools list of it."""
        return Snapshot(
            id=self.id,
            name=self.name,
            vm_state_size=self.vm_state_size,
            date_seconds=self.date_s,
            date_nanoseconds=self.date_ns,
            vm_clock_nanoseconds=self.vm_clock_ns,
            icount=self.icount,
        )


class SnapshotTableTooShort(Exception):
    """More of the file is needed to parse the table."""


def parse_snapshots(data: bytes, count: int, current_size: int) -> tuple[list[StoredSnapshot], int]:
    """(`count` snapshots from the table's bytes, the table's length).

    Raises SnapshotTableTooShort when `data` ends early, and BlockError for a table that QEMU refuses.
    """
    snapshots: list[StoredSnapshot] = []
    at = 0
    for number in range(count):
        at = (at + 7) & ~7
        if at + _FIELDS.size > len(data):
            raise SnapshotTableTooShort
        l1_offset, l1_size, id_length, name_length, date, date_ns, clock, state32, extra_length = _FIELDS.unpack_from(
            data, at
        )
        at += _FIELDS.size
        if extra_length > _MAX_EXTRA:
            raise BlockError(
                f"Too much extra metadata in snapshot table entry {number}",
                errno.EINVAL,
                hint="You can force-remove this extra metadata with qemu-img check -r all",
            )
        end = at + extra_length + id_length + name_length
        if end > len(data):
            raise SnapshotTableTooShort
        extra = bytes(data[at : at + extra_length])
        at += extra_length
        name_at = at + id_length
        snapshots.append(
            StoredSnapshot(
                id=bytes(data[at:name_at]).decode("utf-8", "replace"),
                name=bytes(data[name_at : name_at + name_length]).decode("utf-8", "replace"),
                l1_offset=l1_offset,
                l1_size=l1_size,
                date_s=date,
                date_ns=date_ns,
                vm_clock_ns=clock,
                vm_state_size=_extra_field(extra, 0, state32),
                disk_size=_extra_field(extra, 8, current_size),
                icount=_icount(extra),
                extra=extra,
            )
        )
        at = end
        if at > _MAX_TABLE:
            raise BlockError("Snapshot table is too big", errno.EFBIG)
    return snapshots, at


def table_reach(count: int) -> int:
    """A first guess of how many bytes the table of `count` snapshots takes."""
    return min(count * 256, _MAX_TABLE)


def _extra_field(extra: bytes, at: int, default: int) -> int:
    if len(extra) < at + 8:
        return default
    return int.from_bytes(extra[at : at + 8], "big")


def _icount(extra: bytes) -> int | None:
    if len(extra) < 24:
        return None
    value = int.from_bytes(extra[16:24], "big")
    return None if value == 0xFFFF_FFFF_FFFF_FFFF else value
