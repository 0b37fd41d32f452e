"""The persistent bitmaps of an open image: loaded when it is opened, stored when it is closed, removed in between.

Rules of this file:
- everything here happens under the metadata lock;
- `Image.bitmaps` is what the directory in the file says;
- while an image is open for writing, every bitmap in its directory is IN_USE, so that whoever finds the image after a
  crash trusts none;
- clusters are written and their refcounts are in the file before the directory that needs them is in force, and are
  freed only afterwards. The header's autoclear bit is off while the directory is written over.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.node_bitmaps import check_usable
from backcheck_engine.drivers.format.qcow2.bitmap_data import (
    free_bits,
    free_clusters,
    load_bits,
    read_table,
    store_bits,
)
from backcheck_engine.drivers.format.qcow2.bitmap_directory import (
    MAX_BITMAPS,
    MAX_DIRECTORY_BYTES,
    BitmapFlag,
    DirectoryEntry,
    check_constraints,
    entry_bytes,
    pack_directory,
    parse_directory,
)
from backcheck_engine.drivers.format.qcow2.header import Autoclear, BitmapsExtension, pack_header
from backcheck_engine.drivers.format.qcow2.overlap import Section
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.drivers.format.qcow2.image import Image

_FAILED_UPDATE: Final = "Failed to update bitmap extension: "


async def read_directory(image: Image) -> list[DirectoryEntry]:
    """The image's stored bitmaps. Raises BlockError for a directory that is not one."""
    extension = image.header.bitmaps
    if extension is None:
        return []
    if not extension.directory_size:
        raise BlockError("Requested bitmap directory size is zero", errno.EINVAL)
    try:
        data = bytes(await image.file.pread(extension.directory_offset, extension.directory_size))
    except BlockError as error:
        raise error.prefixed("Failed to read bitmap directory: ") from error
    return parse_directory(data, extension.count, cluster_size=image.geometry.cluster_size, disk_size=image.node.size)


# Opening.


async def load_bitmaps(image: Image) -> None:
    """Give the node its stored bitmaps; from now on those in the file are IN_USE, if the image may be written.

    Raises BlockError when the image must not be opened.
    """
    image.bitmaps = await read_directory(image)
    node, names = image.node, set[str]()
    for entry in image.bitmaps:
        if entry.name in names:
            raise BlockError(f"Bitmap already exists: {entry.name}", errno.EEXIST)
        names.add(entry.name)
        bitmap = await _load_bitmap(image, entry)
        bitmap.read_only = not node.is_writable
        node.bitmaps.add(bitmap)
    if node.is_writable:
        await _mark_in_use(image)


async def _load_bitmap(image: Image, entry: DirectoryEntry) -> DirtyBitmap:
    bitmap = DirtyBitmap(image.node.size, 1 << entry.granularity_bits, name=entry.name)
    bitmap.persistent = True
    bitmap.inconsistent = entry.is_in_use
    bitmap.recording = BitmapFlag.AUTO in entry.flags and not bitmap.inconsistent
    if bitmap.inconsistent:
        return bitmap
    try:
        table = await read_table(image, entry.table_offset, entry.table_entries)
    except BlockError as error:
        where = f"Could not read bitmap_table table from image for bitmap '{entry.name}': "
        raise error.prefixed(where) from error
    try:
        await load_bits(image, table, bitmap)
    except BlockError as error:
        raise error.prefixed(f"Could not read bitmap '{entry.name}' from image: ") from error
    return bitmap


async def _mark_in_use(image: Image) -> None:
    """Write the flag into every entry, in place. A crash in between costs the bitmaps, never what they describe."""
    extension = image.header.bitmaps
    if extension is None or all(entry.is_in_use for entry in image.bitmaps):
        return
    entries = [replace(entry, flags=entry.flags | BitmapFlag.IN_USE) for entry in image.bitmaps]
    try:
        await _overwrite_directory(image, extension, entries)
    except BlockError as error:
        raise error.prefixed("Can't update bitmap directory: ") from error
    image.bitmaps = entries


async def _overwrite_directory(image: Image, extension: BitmapsExtension, entries: list[DirectoryEntry]) -> None:
    data = pack_directory(entries)
    if len(data) != extension.directory_size:
        raise BlockError.from_errno(errno.EINVAL)
    autoclear = image.header.autoclear
    await image.update_header(autoclear=autoclear & ~Autoclear.BITMAPS)
    await image.flush_file()
    await image.write_metadata(extension.directory_offset, data, Section.BITMAP_DIRECTORY)
    await image.update_header(autoclear=autoclear)
    await image.flush_file()


# Closing.


async def store_bitmaps(image: Image) -> None:
    """Store the node's persistent bitmaps. Raises BlockError; what the file had before then stays in force."""
    kept = {entry.name: entry for entry in image.bitmaps}
    wanted: dict[str, DirtyBitmap] = {}
    for bitmap in image.node.bitmaps:
        if bitmap.persistent and not bitmap.inconsistent and not bitmap.read_only:
            assert bitmap.name is not None
            wanted[bitmap.name] = bitmap
    if not wanted:
        return
    _check_storable(image, kept, wanted)
    entries: list[DirectoryEntry] = []
    try:
        for name in kept | wanted:
            entry = await _store_bitmap(image, wanted[name]) if name in wanted else kept[name]
            entries.append(entry)
        extension = await _write_directory(image, entries)
    except BlockError:
        await _free_all(image, [entry for entry in entries if entry.name in wanted])
        raise
    await _use_directory(image, extension, entries)
    await _free_all(image, [entry for name, entry in kept.items() if name in wanted])


async def _free_all(image: Image, entries: list[DirectoryEntry]) -> None:
    for entry in entries:
        await free_bits(image, entry.table_offset, entry.table_entries)


def _check_storable(image: Image, kept: dict[str, DirectoryEntry], wanted: dict[str, DirtyBitmap]) -> None:
    """Raise BlockError unless the image can take all of `wanted` beside what it keeps."""
    for name, bitmap in wanted.items():
        try:
            _check_constraints(image, name, bitmap.granularity)
        except BlockError as error:
            raise error.prefixed(f"Bitmap '{name}' doesn't satisfy the constraints: ") from error
        if name in kept and not kept[name].is_in_use:
            raise BlockError(f"Bitmap '{name}' already exists in the image", errno.EEXIST)
    names = kept | wanted
    if len(names) > MAX_BITMAPS:
        raise BlockError("Too many persistent bitmaps", errno.EINVAL)
    if sum(map(entry_bytes, names)) > MAX_DIRECTORY_BYTES:
        raise BlockError("Bitmap directory is too large", errno.EINVAL)
    if not image.node.is_writable:
        raise BlockError("No write access", errno.EINVAL)


async def _store_bitmap(image: Image, bitmap: DirtyBitmap) -> DirectoryEntry:
    assert bitmap.name is not None
    table_offset, table_entries = await store_bits(image, bitmap)
    return DirectoryEntry(
        name=bitmap.name,
        flags=BitmapFlag.AUTO if bitmap.is_recording else BitmapFlag(0),
        granularity_bits=bitmap.granularity.bit_length() - 1,
        table_offset=table_offset,
        table_entries=table_entries,
    )


async def _write_directory(image: Image, entries: list[DirectoryEntry]) -> BitmapsExtension | None:
    """Put a directory in a new place, everything that it needs before it. Raises BlockError, with nothing changed."""
    if not entries:
        return None
    data = pack_directory(entries)
    try:
        offset = await image.refcounts.allocate(len(data))
        try:
            extension = BitmapsExtension(count=len(entries), directory_size=len(data), directory_offset=offset)
            pack_header(replace(image.header, bitmaps=extension))
            await image.write_metadata(offset, data, Section.NONE)
            await image.flush_caches()
        except BlockError:
            await free_clusters(image, offset, len(data))
            raise
    except BlockError as error:
        raise error.prefixed(_FAILED_UPDATE) from error
    return extension


async def _use_directory(image: Image, extension: BitmapsExtension | None, entries: list[DirectoryEntry]) -> None:
    """Make the header refer to a directory, which then is in force, and free the old one.

    Raises BlockError; since nobody knows then which one the file refers to, nothing is freed.
    """
    old = image.header.bitmaps
    others = image.header.autoclear & ~Autoclear.BITMAPS
    try:
        await image.update_header(
            bitmaps=extension, autoclear=others if extension is None else others | Autoclear.BITMAPS
        )
        image.bitmaps = entries
        await image.flush_file()
    except BlockError as error:
        raise error.prefixed(_FAILED_UPDATE) from error
    if old is not None:
        await free_clusters(image, old.directory_offset, old.directory_size)


def freeze_bitmaps(image: Image) -> None:
    """The image becomes read-only: what was stored must not change any more."""
    for bitmap in image.node.bitmaps:
        bitmap.read_only = bitmap.read_only or bitmap.persistent


async def thaw_bitmaps(image: Image) -> None:
    """The image stays writable after all: what was stored is out of date from now on."""
    for bitmap in image.node.bitmaps:
        bitmap.read_only = False
    await _mark_in_use(image)


# In between.


async def remove_bitmap(image: Image, name: str) -> None:
    """Take a bitmap out of the file at once, if it is there. Raises BlockError."""
    found = next((entry for entry in image.bitmaps if entry.name == name), None)
    if found is None:
        return
    entries = [entry for entry in image.bitmaps if entry is not found]
    await _use_directory(image, await _write_directory(image, entries), entries)
    await _free_all(image, [found])


def check_new_bitmap(image: Image, name: str, granularity: int) -> None:
    """Raise BlockError, in QEMU's words, unless one more bitmap can be stored when the image is closed."""
    try:
        if image.header.version < 3:
            raise BlockError("Cannot store dirty bitmaps in qcow2 v2 files", errno.EINVAL)
        _check_constraints(image, name, granularity)
        names = [bitmap.name for bitmap in image.node.bitmaps if bitmap.persistent and bitmap.name is not None]
        if len(names) >= MAX_BITMAPS:
            raise BlockError("Maximum number of persistent bitmaps is already reached", errno.EINVAL)
        if sum(map(entry_bytes, [*names, name])) > MAX_DIRECTORY_BYTES:
            raise BlockError("Not enough space in the bitmap directory", errno.EINVAL)
    except BlockError as error:
        where = image.node.device_or_node_name
        raise error.prefixed(f"Can't make bitmap '{name}' persistent in '{where}': ") from error


def _check_constraints(image: Image, name: str, granularity: int) -> None:
    check_constraints(name, granularity, cluster_size=image.geometry.cluster_size, disk_size=image.node.size)


def check_resize(image: Image) -> None:
    """Raise BlockError unless each stored bitmap can follow the disk to another size."""
    bitmaps = {bitmap.name: bitmap for bitmap in image.node.bitmaps}
    for entry in image.bitmaps:
        bitmap = bitmaps.get(entry.name)
        if bitmap is None:
            raise BlockError(
                "Cannot resize qcow2 with persistent bitmaps that were not loaded into memory", errno.ENOTSUP
            )
        check_usable(bitmap)
