"""Checking an image: everything that its tables name lies in the files."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from backcheck_engine.block.image_upkeep import CheckResult, Repair
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.format.vmdk.extent import Kind
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.vmdk.extent import Extent, Span
    from backcheck_engine.drivers.format.vmdk.image import Image


async def check_image(image: Image, repair: Repair) -> CheckResult:
    """What is wrong with the image; as in QEMU, the first thing found ends the check. Nothing can be repaired."""
    if repair is not Repair.NONE:
        raise BlockError.from_errno(errno.ENOTSUP)
    result = CheckResult()
    for extent in image.extents:
        offset = 0
        while offset < extent.size:
            span = await extent.locate(offset, extent.size - offset)
            bad = _first_outside(extent, span, offset)
            if bad is not None:
                sector = (extent.start + bad) // SECTOR_SIZE
                result.corruptions += 1
                result.messages.append(f"ERROR: cluster offset for sector {sector} points after EOF")
                result.failure = BlockError.from_errno(errno.EINVAL)
                return result
            offset += span.length
    return result


def _first_outside(extent: Extent, span: Span, offset: int) -> int | None:
    """Where in the extent the first grain of the span is that lies behind the file's end; None when all are in it.

    Of a flat extent only the beginning counts.
    """
    if span.kind not in (Kind.DATA, Kind.PACKED):
        return None
    file_size = extent.file.size
    if span.host_offset >= file_size:
        return offset
    end = span.host_offset + span.length
    if span.kind is Kind.PACKED or not extent.grain_size or end <= file_size:
        return None
    inside = -(-(file_size - span.host_offset) // extent.grain_size) * extent.grain_size
    return offset + inside if inside < span.length else None
