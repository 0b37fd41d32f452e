"""The directory of persistent bitmaps: read for its facts, and marked when the disk changes under it."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.json_value import JsonObject

IN_USE = 1
AUTO = 2
_FIELDS = struct.Struct(">QIIBBHI")
_FLAGS_AT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBitmap:
    """One entry of the directory."""

    name: str
    flags: int
    granularity_bits: int
    table_offset: int
    table_size: int
    """Entries of the bitmap table."""
    flags_offset: int
    """Host offset of the flags."""

    def info(self) -> JsonObject:
        """Qcow2BitmapInfo of QAPI."""
        names = {IN_USE: "in-use", AUTO: "auto"}
        return {
            "name": self.name,
            "granularity": 1 << self.granularity_bits,
            "flags": [name for bit, name in names.items() if self.flags & bit],
        }


async def read_directory(image: Image) -> list[StoredBitmap]:
    """The image's stored bitmaps. Raises BlockError for a directory that is not one."""
    extension = image.header.bitmaps
    if extension is None:
        return []
    data = bytes(await image.file.pread(extension.directory_offset, extension.directory_size))
    bitmaps: list[StoredBitmap] = []
    at = 0
    while at < len(data):
        if at + _FIELDS.size > len(data):
            raise BlockError("Broken bitmap directory", errno.EINVAL)
        table_offset, table_size, flags, _type, granularity, name_length, extra = _FIELDS.unpack_from(data, at)
        name_at = at + _FIELDS.size + extra
        end = name_at + name_length
        if end > len(data) or granularity > 63:
            raise BlockError("Broken bitmap directory", errno.EINVAL)
        bitmaps.append(
            StoredBitmap(
                name=data[name_at:end].decode("utf-8", "replace"),
                flags=flags,
                granularity_bits=granularity,
                table_offset=table_offset,
                table_size=table_size,
                flags_offset=extension.directory_offset + at + _FLAGS_AT,
            )
        )
        at = (end + 7) & ~7
    if len(bitmaps) != extension.count:
        raise BlockError("Wrong number of bitmaps in the directory", errno.EINVAL)
    return bitmaps


async def mark_in_use(image: Image) -> None:
    """Before the disk's first change: nobody may trust a stored bitmap that did not see it."""
    pending = [bitmap for bitmap in image.bitmaps if not bitmap.flags & IN_USE]
    for bitmap in pending:
        await image.file.pwrite(bitmap.flags_offset, struct.pack(">I", bitmap.flags | IN_USE))
    if pending:
        await image.flush_file()
        image.bitmaps = await read_directory(image)
