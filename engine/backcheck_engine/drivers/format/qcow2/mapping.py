"""From a guest offset to what the image says about it: one extent of alike clusters at a time."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from backcheck_engine.block.request import Range
from backcheck_engine.drivers.format.qcow2.extended_l2 import subcluster_run
from backcheck_engine.drivers.format.qcow2.hexadecimal import c_hex
from backcheck_engine.drivers.format.qcow2.tables import (
    COMPRESSED,
    OFFSET_MASK,
    PLACED_KINDS,
    ZERO,
    ZERO_KINDS,
    ClusterKind,
    cluster_kind,
    progression,
    same_kind_run,
)
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.geometry import Geometry
    from backcheck_engine.drivers.format.qcow2.image import Image

_SLICE_BYTES = 65536
"""QEMU names L2 entries by their index within a slice of this many bytes."""


class Extent(NamedTuple):
    """A guest range that is stored alike."""

    kind: ClusterKind
    host: int
    """For kinds with a place: the host offset of the range's first byte. Compressed: the L2 entry. Else 0."""
    length: int


async def lookup(image: Image, offset: int, length: int) -> Extent:
    """The extent at `offset`, at most `length` bytes. Call it under the metadata lock.

    Raises BlockError(EIO) for entries that cannot be, after marking the image as corrupt.
    """
    geometry = image.geometry
    index = offset >> geometry.l2_coverage_bits
    table = await image.l1.l2_table(index)
    if table is None:
        end_index = (offset + length + geometry.l2_coverage - 1) >> geometry.l2_coverage_bits
        following = image.l1.next_table(index + 1, min(end_index, len(image.l1.entries)))
        if following >= len(image.l1.entries):
            following = max(following, end_index)
        return Extent(ClusterKind.UNALLOCATED, 0, min(length, (following << geometry.l2_coverage_bits) - offset))
    within = offset & (geometry.l2_coverage - 1)
    length = min(length, geometry.l2_coverage - within)
    find = _extended_extent if geometry.extended_l2 else _standard_extent
    extent = find(image, table, within, length)
    if image.has_data_file or image.header.version < 3:
        await _check(image, extent, table, offset)
    elif extent.kind is ClusterKind.NORMAL:
        if (extent.host ^ offset) & geometry.cluster_mask:
            await _check(image, extent, table, offset)
    elif extent.kind not in _HARMLESS:
        await _check(image, extent, table, offset)
    return extent


_HARMLESS = frozenset({ClusterKind.UNALLOCATED, ClusterKind.ZERO_PLAIN})


async def data_places(image: Image, ranges: Sequence[Range]) -> list[Range]:
    """Where the first of `ranges` lie in the file, each whole and as plain data. Call it under the metadata lock.

    Whatever is less simple than that, or wrong, ends them: `lookup` tells of it.
    """
    geometry = image.geometry
    places: list[Range] = []
    if geometry.extended_l2 or image.has_data_file or image.header.version < 3:
        return places
    mapped, table = -1, None
    for offset, length in ranges:
        index = offset >> geometry.l2_coverage_bits
        if index != mapped:
            mapped, table = index, await image.l1.l2_table(index)
        within = offset & (geometry.l2_coverage - 1)
        if table is None or within + length > geometry.l2_coverage:
            break
        host = _data_place(table, within, length, geometry)
        if not host:
            break
        places.append((host, length))
    return places


def _data_place(table: array[int], within: int, length: int, geometry: Geometry) -> int:
    """The host offset of a range of one L2 table when it is plain data in a row, else 0."""
    first, inside = within >> geometry.cluster_bits, within & geometry.cluster_mask
    entry = table[first]
    host = entry & OFFSET_MASK
    if not host or entry & (COMPRESSED | ZERO) or host & geometry.cluster_mask:
        return 0
    clusters = geometry.clusters(inside + length)
    if clusters > 1 and progression(table, first, clusters, geometry.cluster_size) < clusters:
        return 0
    return host + inside


def _standard_extent(image: Image, table: array[int], within: int, length: int) -> Extent:
    geometry = image.geometry
    size = geometry.cluster_size
    first = within >> geometry.cluster_bits
    inside = within & geometry.cluster_mask
    entry = table[first]
    kind = cluster_kind(entry, has_data_file=image.has_data_file)
    if kind is ClusterKind.COMPRESSED:
        return Extent(kind, entry, min(length, size - inside))
    if inside + length > size:
        clusters = (inside + length + size - 1) >> geometry.cluster_bits
        run = same_kind_run(table, first, clusters, size, has_data_file=image.has_data_file)
        length = min(length, run * size - inside)
    return Extent(kind, (entry & OFFSET_MASK) + inside if kind in PLACED_KINDS else 0, length)


def _extended_extent(image: Image, table: array[int], within: int, length: int) -> Extent:
    geometry = image.geometry
    size = geometry.cluster_size
    index = within >> geometry.cluster_bits
    inside = within & geometry.cluster_mask
    subcluster = inside // geometry.subcluster_size
    entry = table[2 * index]
    kind, count = subcluster_run(entry, table[2 * index + 1], subcluster, has_data_file=image.has_data_file)
    if kind is ClusterKind.COMPRESSED:
        return Extent(kind, entry, min(length, size - inside))
    placed = kind in PLACED_KINDS
    reach = (subcluster + count) * geometry.subcluster_size - inside
    expected = entry & OFFSET_MASK
    while reach < length and (inside + reach) & geometry.cluster_mask == 0:
        index += 1
        expected += size if placed else 0
        entry_here = table[2 * index]
        next_kind, count = subcluster_run(entry_here, table[2 * index + 1], 0, has_data_file=image.has_data_file)
        if next_kind is not kind or (placed and entry_here & OFFSET_MASK != expected):
            break
        reach += count * geometry.subcluster_size
    return Extent(kind, (entry & OFFSET_MASK) + inside if placed else 0, min(length, reach))


async def _check(image: Image, extent: Extent, table: array[int], offset: int) -> None:
    """Refuse an extent that contradicts the format, in QEMU's words."""
    geometry = image.geometry
    index = (offset & (geometry.l2_coverage - 1)) >> geometry.cluster_bits
    slice_entries = min(_SLICE_BYTES, geometry.cluster_size) // (8 * geometry.l2_words)
    table_offset = image.l1.entries[offset >> geometry.l2_coverage_bits] & OFFSET_MASK
    table_offset += index // slice_entries * min(_SLICE_BYTES, geometry.cluster_size)
    place = f"L2 offset: {c_hex(table_offset)}, L2 index: {c_hex(index % slice_entries)}"
    cluster = (extent.host & OFFSET_MASK) - (offset & geometry.cluster_mask) if extent.host else 0
    message = ""
    if extent.kind is ClusterKind.INVALID:
        message = f"Invalid cluster entry found  ({place})"
    elif extent.kind in ZERO_KINDS and image.header.version < 3:
        message = f"Zero cluster entry found in pre-v3 image ({place})"
    elif extent.kind is ClusterKind.COMPRESSED:
        if image.has_data_file:
            message = f"Compressed cluster entry found in image with external data file ({place})"
    elif extent.kind in PLACED_KINDS:
        cluster = extent.host - (offset & geometry.cluster_mask)
        if cluster & geometry.cluster_mask:
            message = f"Cluster allocation offset {c_hex(cluster)} unaligned ({place})"
        elif image.has_data_file and extent.host != offset:
            message = (
                f"External data file host cluster offset {c_hex(cluster)} does not match guest cluster offset: "
                f"{c_hex(offset - (offset & geometry.cluster_mask))}, L2 index: {c_hex(index % slice_entries)})"
            )
    if message:
        await image.corruption(message, fatal=True)
        raise BlockError.from_errno(errno.EIO)
