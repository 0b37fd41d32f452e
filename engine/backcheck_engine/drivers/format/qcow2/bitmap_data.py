"""The bits of one persistent bitmap: bitmap tables, and the clusters that they refer to.

Rules of this file: everything happens under the metadata lock, and no bit is looked at by itself: bits travel as bytes,
as many clusters at a time as lie together.
"""

from __future__ import annotations

import errno
import sys
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final

from backcheck_engine.drivers.format.qcow2.bitmap_directory import MAX_DATA_BYTES, MAX_TABLE_ENTRIES, data_bytes
from backcheck_engine.drivers.format.qcow2.options import DiscardKind
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.drivers.format.qcow2.tables import (
    OFFSET_MASK,
    pack_words,
    progression,
    unpack_words,
    zero_words,
)
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.dirty_bitmap import DirtyBitmap
    from backcheck_engine.drivers.format.qcow2.image import Image

ALL_ONES: Final = 1
"""The entry of a cluster that has no place and whose bits are all set; one of all clear bits is 0."""
_PIECE: Final = 2 << 20
"""How many bytes of bits are handled at once."""


def is_table_entry(word: int, cluster_size: int) -> bool:
    """Whether `word` is something that may stand in a bitmap table."""
    offset = word & OFFSET_MASK
    if word & ~(OFFSET_MASK | ALL_ONES) or (offset and word & ALL_ONES):
        return False
    return offset % cluster_size == 0


async def read_table(image: Image, offset: int, entries: int) -> array[int]:
    """A bitmap table. Raises BlockError(EINVAL) for one with entries that mean nothing."""
    table = unpack_words(await image.file.pread(offset, 8 * entries))
    if not all(is_table_entry(word, image.geometry.cluster_size) for word in set(table)):
        raise BlockError.from_errno(errno.EINVAL)
    return table


async def load_bits(image: Image, table: array[int], bitmap: DirtyBitmap) -> None:
    """Put into `bitmap` what its table refers to. Raises BlockError(EINVAL) for a table of another length."""
    cluster_size = image.geometry.cluster_size
    if len(table) != _table_entries(image, bitmap):
        raise BlockError.from_errno(errno.EINVAL)
    covered = 8 * cluster_size * bitmap.granularity
    index = 0
    while index < len(table):
        word, left = table[index], len(table) - index
        if word & OFFSET_MASK:
            run = progression(table, index, min(left, max(_PIECE // cluster_size, 1)), cluster_size)
            bitmap.from_bytes(index * covered, await image.file.pread(word, run * cluster_size))
        else:
            run = progression(table, index, left, 0)
            if word & ALL_ONES:
                bitmap.set(index * covered, run * covered)
        index += run


async def store_bits(image: Image, bitmap: DirtyBitmap) -> tuple[int, int]:
    """Write the bits to new clusters: (host offset of their table, its entries). Raises BlockError in QEMU's words."""
    entries = _table_entries(image, bitmap)
    if entries > MAX_TABLE_ENTRIES or entries * image.geometry.cluster_size > MAX_DATA_BYTES:
        raise BlockError(f"Bitmap '{bitmap.name}' is too big", errno.EINVAL)
    if not entries:
        # What QEMU says about the empty table of an empty disk, which no directory may refer to.
        raise BlockError("No memory", errno.ENOMEM)
    table = zero_words(entries)
    try:
        await _write_data(image, bitmap, table)
        offset = await _allocate(image, 8 * entries, bitmap)
        try:
            await _write(image, offset, pack_words(table), bitmap)
        except BaseException:
            await free_clusters(image, offset, 8 * entries)
            raise
    except BaseException:
        await _free_data(image, table)
        raise
    return offset, entries


async def free_bits(image: Image, offset: int, entries: int) -> None:
    """Free a bitmap table and what it refers to; of one that cannot be read, nothing."""
    with suppress(BlockError):
        await _free_data(image, await read_table(image, offset, entries))
        await free_clusters(image, offset, 8 * entries)


def _table_entries(image: Image, bitmap: DirtyBitmap) -> int:
    return image.geometry.clusters(data_bytes(bitmap.size, bitmap.granularity))


async def _write_data(image: Image, bitmap: DirtyBitmap, table: array[int]) -> None:
    """Give a place to each cluster of bits that has a set one, and enter it in the table."""
    cluster_size = image.geometry.cluster_size
    covered = 8 * cluster_size * bitmap.granularity
    count = max(_PIECE // cluster_size, 1)
    dirty = bitmap.next_dirty(0)
    while dirty is not None:
        first = dirty // covered
        start = first * covered
        data = bitmap.to_bytes(start, min(count * covered, bitmap.size - start))
        for at, length in _runs_with_bits(data, cluster_size):
            offset = await _allocate(image, length, bitmap)
            index = first + at // cluster_size
            clusters = length // cluster_size
            table[index : index + clusters] = array("Q", range(offset, offset + length, cluster_size))
            await _write(image, offset, data[at : at + length].ljust(length, b"\0"), bitmap)
        dirty = bitmap.next_dirty(start + count * covered)


def _runs_with_bits(data: bytes, cluster_size: int) -> Iterator[tuple[int, int]]:
    """(start, length) of the runs of clusters that are not all zeroes, in whole clusters."""

    def has_bits(start: int) -> bool:
        cluster = data[start : start + cluster_size]
        return cluster.count(0) < len(cluster)

    for wanted, starts in groupby(range(0, len(data), cluster_size), has_bits):
        if wanted:
            run = list(starts)
            yield run[0], len(run) * cluster_size


async def _allocate(image: Image, length: int, bitmap: DirtyBitmap) -> int:
    try:
        return await image.refcounts.allocate(length)
    except BlockError as error:
        raise error.prefixed(f"Failed to allocate clusters for bitmap '{bitmap.name}': ") from error


async def _write(image: Image, offset: int, data: bytes, bitmap: DirtyBitmap) -> None:
    try:
        await image.check_metadata_write(offset, len(data), Section.NONE)
    except BlockError as error:
        raise error.prefixed("Qcow2 overlap check failed: ") from error
    try:
        await image.file.pwrite(offset, data)
    except BlockError as error:
        raise error.prefixed(f"Failed to write bitmap '{bitmap.name}' to file: ") from error


async def _free_data(image: Image, table: array[int]) -> None:
    """Free what the entries of a table refer to, neighbours together."""
    cluster_size = image.geometry.cluster_size
    index = 0
    while index < len(table):
        offset, left = table[index] & OFFSET_MASK, len(table) - index
        run = progression(table, index, left, cluster_size if offset else 0)
        if offset:
            await free_clusters(image, offset, run * cluster_size)
        index += run


async def free_clusters(image: Image, offset: int, length: int) -> None:
    """Free clusters that nothing in the file refers to any more. A failure only leaks them."""
    try:
        await image.refcounts.free(offset, length, DiscardKind.OTHER)
    except BlockError as error:
        print(f"qcow2_free_clusters failed: {error.message}", file=sys.stderr)
