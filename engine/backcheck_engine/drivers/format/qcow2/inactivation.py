"""The end of an image's use: bitmaps stored, caches written, the dirty bit cleared. Each failure is said on stderr."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from backcheck_engine.complaints import complain
from backcheck_engine.drivers.format.qcow2.bitmaps import store_bitmaps
from backcheck_engine.drivers.format.qcow2.header import Incompatible
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image


async def inactivate_image(image: Image) -> BlockError | None:
    """Do all of it, as far as it goes; the failure that counts. Call it under the metadata lock.

    It may be called again, for what failed.
    """
    failure = await _store_bitmaps(image)
    if image.is_lost or not image.node.is_writable:
        return failure
    for name, write in (("L2 table", _write_tables), ("refcount block", _write_refcounts)):
        try:
            await write(image)
        except BlockError as error:
            complain(f"Failed to flush the {name} cache: {error.message}")
            failure = error
    if failure is None and Incompatible.DIRTY in image.header.incompatible:
        try:
            await image.mark_clean()
        except BlockError as error:
            failure = error
    return failure


async def _store_bitmaps(image: Image) -> BlockError | None:
    if image.has_stored_bitmaps:
        return None
    try:
        await store_bitmaps(image)
    except BlockError as error:
        where = image.node.device_or_node_name
        complain(f"Lost persistent bitmaps during inactivation of node '{where}': {error.message}")
        return BlockError.from_errno(errno.EINVAL)
    image.has_stored_bitmaps = True
    return None


async def _write_tables(image: Image) -> None:
    await image.l1.write_back()
    await image.l2.flush()


async def _write_refcounts(image: Image) -> None:
    await image.refcounts.cache.flush()
