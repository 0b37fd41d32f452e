"""What `query-block` and `qemu-img info` show of a qcow2 image: ImageInfoSpecificQCow2 of QAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.block.key_order import in_qemu_order
from backcheck_engine.drivers.format.qcow2.header import CompressionType, Incompatible

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image
    from backcheck_engine.json_value import JsonObject


def specific_info(image: Image) -> JsonObject:
    """The format-specific part, keys in the order in which QEMU prints them."""
    header = image.header
    data: JsonObject = {"compat": "0.10" if header.version == 2 else "1.1"}
    if image.has_data_file:
        data["data-file"] = header.data_file
    if header.version > 2:
        if image.has_data_file:
            data["data-file-raw"] = image.data_file_is_raw
        data["extended-l2"] = image.geometry.extended_l2
        data["lazy-refcounts"] = image.options.lazy_refcounts
        data["corrupt"] = Incompatible.CORRUPT in header.incompatible
    data["refcount-bits"] = image.geometry.refcount_bits
    if image.bitmaps:
        data["bitmaps"] = [bitmap.info() for bitmap in image.bitmaps]
    data["compression-type"] = CompressionType(header.compression_type).name.lower()
    return {"type": "qcow2", "data": {key: data[key] for key in in_qemu_order(list(data))}}
