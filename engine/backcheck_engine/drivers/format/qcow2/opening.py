"""Opening an image: everything that QEMU verifies, in its order and its words, up to a usable `Image`."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.child import ChildRole
from backcheck_engine.complaints import complain
from backcheck_engine.drivers.format.qcow2 import header as headers
from backcheck_engine.drivers.format.qcow2.bitmap_directory import check_extension_length, parse_extension
from backcheck_engine.drivers.format.qcow2.header import (
    Autoclear,
    BitmapsExtension,
    Extension,
    ExtensionType,
    Header,
    Incompatible,
)
from backcheck_engine.drivers.format.qcow2.image import Image
from backcheck_engine.drivers.format.qcow2.options import take_options
from backcheck_engine.drivers.format.qcow2.snapshots import (
    SnapshotTableTooShort,
    parse_snapshots,
    table_reach,
)
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.block.opening import Opener


_WARNINGS: Final = {
    2: "This qcow2 v2 image contains bitmaps, but they may have been modified by a program without persistent bitmap "
    "support; so now they must all be considered inconsistent",
    3: "a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent",
}
_LEAK_HINT: Final = "Some clusters may be leaked, run 'qemu-img check -r' on the image file to fix."
"""QEMU ends no line after this."""


async def read_header(file: Node, *, writable: bool, check: bool) -> Header:
    """The header of an image with its extensions and its backing file name, verified. Raises BlockError."""
    try:
        start = bytes(await file.pread(0, headers.V3_LENGTH))
    except BlockError as error:
        raise error.prefixed("Could not read qcow2 header: ") from error
    header = headers.parse_header(start)
    area = bytes(await file.pread(0, 1 << header.cluster_bits))
    if header.length > headers.V3_LENGTH:
        header = replace(header, unknown_fields=area[headers.V3_LENGTH : header.length])
    headers.check_features(header, area)
    if Incompatible.CORRUPT in header.incompatible and writable and not check:
        raise BlockError("qcow2: Image is corrupt; cannot be opened read/write", errno.EACCES)
    headers.check_tables(header, repairing=check)
    if header.crypt_method:
        raise BlockError("backcheck-engine does not implement encrypted images yet", errno.ENOTSUP)
    return _with_backing_name(_with_extensions(header, area), area)


def _with_extensions(header: Header, area: bytes) -> Header:
    """The header with what its extensions say."""
    unknown: list[Extension] = []
    for extension in headers.iter_extensions(header, area):
        data = extension.data
        match extension.type:
            case ExtensionType.BACKING_FORMAT:
                header = replace(header, backing_format=data.split(b"\0")[0].decode("utf-8", "surrogateescape"))
            case ExtensionType.DATA_FILE:
                header = replace(header, data_file=data.split(b"\0")[0].decode("utf-8", "surrogateescape"))
            case ExtensionType.BITMAPS:
                bitmaps = _bitmaps(header, data)
                header = replace(header, bitmaps=bitmaps, has_stale_bitmaps=bitmaps is None)
            case ExtensionType.ENCRYPTION:
                header = replace(header, encryption=data)
            case ExtensionType.FEATURE_NAMES:
                continue
            case _:
                unknown.append(extension)
    return replace(header, unknown_extensions=tuple(unknown))


def _bitmaps(header: Header, data: bytes) -> BitmapsExtension | None:
    """The bitmaps extension, unless a program that did not know it wrote to the image since."""
    if Autoclear.BITMAPS in header.autoclear:
        return parse_extension(data, 1 << header.cluster_bits)
    check_extension_length(data)
    complain(f"warning: {_WARNINGS[header.version]}\n{_LEAK_HINT}", end="")
    return None


def _with_backing_name(header: Header, area: bytes) -> Header:
    """The header with the backing file's name."""
    if not header.backing_offset:
        return header
    length = header.backing_name_length
    if length > min(headers.MAX_BACKING_NAME, (1 << header.cluster_bits) - header.backing_offset):
        raise BlockError("Backing file name too long", errno.EINVAL)
    name = area[header.backing_offset : header.backing_offset + length].split(b"\0")[0]
    return replace(header, backing_name=name.decode("utf-8", "surrogateescape"))


async def open_image(opener: Opener) -> Image:
    """An image on `opener.node`, its children attached and its options taken."""
    node = opener.node
    await opener.file()
    writable = node.is_writable
    header = await read_header(node.file, writable=writable, check=opener.check)
    options = take_options(opener.options, header, discards=node.discard_mode == "unmap")
    image = Image(node, header, options)
    await _read_l1(image)
    try:
        await image.refcounts.load_table()
    except BlockError as error:
        raise error.prefixed("Could not initialize refcount handling: ") from error
    await _open_data_file(opener, image)
    if header.backing_name:
        opener.set_backing(header.backing_name, header.backing_format)
    await _read_snapshots(image)
    if writable and not opener.check:
        await _drop_stale_features(image)
    return image


async def _read_l1(image: Image) -> None:
    try:
        await image.l1.load()
    except BlockError as error:
        raise error.prefixed("Could not read L1 table: ") from error


async def _open_data_file(opener: Opener, image: Image) -> None:
    """Attach the external data file, by the user's option or by the name in the header.

    Who will not read data gets none, as an untrusted image may name any file; releases before the fix of CVE-2024-4467
    open it all the same.
    """
    if opener.no_io and release.current() >= release.QEMU_7_2:
        opener.options.take("data-file")
        opener.options.children("data-file")
        return
    keys = opener.options.keys()
    wanted = any(key == "data-file" or key.startswith("data-file.") for key in keys)
    if wanted:
        await opener.child("data-file", role=ChildRole.DATA)
    if not image.has_data_file:
        if wanted:
            raise BlockError("'data-file' can only be set for images with an external data file", errno.EINVAL)
        if Autoclear.DATA_FILE_RAW in image.header.autoclear:
            raise BlockError("data-file-raw requires a data file", errno.EINVAL)
        return
    if not wanted:
        if not image.header.data_file:
            raise BlockError("'data-file' is required for this image", errno.EINVAL)
        await opener.child("data-file", role=ChildRole.DATA, filename=image.header.data_file)
    image.node.children["file"].role &= ~ChildRole.DATA
    image.node.graph.refresh_permissions(image.node)


async def _read_snapshots(image: Image) -> None:
    """Read the snapshot table."""
    count, offset = image.header.snapshot_count, image.header.snapshots_offset
    if not count:
        return
    reach, available = table_reach(count), max(image.file.size - offset, 0)
    while True:
        data = bytes(await image.file.pread(offset, min(reach, available)))
        try:
            image.snapshots, image.snapshot_table_length = parse_snapshots(data, count, image.size)
        except SnapshotTableTooShort:
            if reach >= available:
                raise BlockError("Failed to read snapshot table", errno.EINVAL) from None
            reach *= 4
            continue
        break


async def _drop_stale_features(image: Image) -> None:
    """Clear autoclear bits that mean nothing to us, since we are going to write, and forget bitmaps out of date."""
    header = image.header
    known = Autoclear(int(header.autoclear) & headers.KNOWN_AUTOCLEAR)
    if known != header.autoclear or header.has_stale_bitmaps:
        await image.update_header(autoclear=known, has_stale_bitmaps=False)
