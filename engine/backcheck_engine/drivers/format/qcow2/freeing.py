"""Dropping the references that L2 entries had, neighbours together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from backcheck_engine.drivers.format.qcow2.compression import descriptor_range
from backcheck_engine.drivers.format.qcow2.tables import COMPRESSED, COPIED, OFFSET_MASK
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.drivers.format.qcow2.options import DiscardKind


async def free_entries(image: Image, entries: Iterable[int], kind: DiscardKind) -> None:
    """Drop the references of L2 entries that no table holds any more. Call it under the metadata lock."""
    for offset, length in _ranges(image, entries):
        if not image.has_data_file:
            await image.refcounts.free(offset, length, kind)
        elif image.options.passes_discard(kind):
            with suppress(BlockError):
                await image.data.discard(offset, length)


def _ranges(image: Image, entries: Iterable[int]) -> Iterator[tuple[int, int]]:
    size = image.geometry.cluster_size
    start = end = 0
    for entry in entries:
        if entry & COMPRESSED:
            yield descriptor_range(entry, image.geometry)
            continue
        offset = entry & OFFSET_MASK
        if not offset and not (image.has_data_file and entry & COPIED):
            continue
        if offset != end:
            if end > start:
                yield start, end - start
            start = offset
        end = offset + size
    if end > start:
        yield start, end - start
