"""Making qcow images of version 1: a header, the backing file's name, and an empty L1 table."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.creation.file import chosen_extent_size
from backcheck_engine.drivers.creation.new_file import make_file, node_of, open_new_file
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, OptionKind
from backcheck_engine.drivers.format.qcow.header import ENTRY_BYTES, new_header
from backcheck_engine.errors import BlockError, OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject

OPTIONS: Sequence[CreateOption] = (
    SIZE,
    CreateOption(name="backing_file", kind=OptionKind.STRING, help="File name of a base image"),
    CreateOption(name="backing_fmt", kind=OptionKind.STRING, help="Format of the backing image"),
    CreateOption(
        name="encryption",
        kind=OptionKind.BOOL,
        help="Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
    ),
    CreateOption(name="encrypt.format", kind=OptionKind.STRING, help="Encrypt the image, format choices: 'aes'"),
    CreateOption(
        name="encrypt.key-secret",
        kind=OptionKind.STRING,
        help="ID of the secret that provides the AES encryption key",
    ),
)
_NO_ENCRYPTION: Final = "backcheck-engine does not implement encrypted images yet"


async def create_from_options(graph: Graph, filename: str, options: CreateOptions) -> None:
    """Make the file and the image in it by text options. Raises in QEMU's words."""
    if options.flag("encryption") or options.text("encrypt.format") is not None:
        raise OptionError(_NO_ENCRYPTION)
    size = -(-options.number("size") // SECTOR_SIZE) * SECTOR_SIZE
    await make_file(graph, filename, 0, chosen_extent_size(options))
    if options.text("encrypt.key-secret") is not None:
        raise OptionError("Parameter 'encrypt.format' is missing")
    file = await open_new_file(graph, filename)
    try:
        await create_on_node(graph, file, size, options.text("backing_file"))
    finally:
        await file.unref()


async def create_from_qapi(graph: Graph, options: JsonObject) -> None:
    """BlockdevCreateOptionsQcow of QAPI: an image on a node. Raises in QEMU's words."""
    size, backing_file = options["size"], options.get("backing-file")
    assert isinstance(size, int)
    if "encrypt" in options:
        raise OptionError(_NO_ENCRYPTION)
    file = await node_of(graph, options["file"])
    try:
        await create_on_node(graph, file, size, None if backing_file is None else str(backing_file))
    finally:
        await file.unref()


async def create_on_node(graph: Graph, file: Node, size: int, backing_file: str | None) -> None:
    """Make an image of `size` bytes in `file`. Raises BlockError in QEMU's words."""
    if not size:
        raise BlockError("Image size is too small, cannot be zero length", errno.EINVAL)
    name = (backing_file or "").encode("utf-8", "surrogateescape")
    header = new_header(size, name)
    header.verify()
    writer = BlockBackend(graph, permissions=Permission.WRITE | Permission.RESIZE)
    writer.insert(file)
    try:
        await file.truncate(0, exact=False)
        await file.pwrite(0, header.pack() + name)
        table = -(-header.l1_entries * ENTRY_BYTES // SECTOR_SIZE) * SECTOR_SIZE
        await file.pwrite_zeroes(header.l1_offset, table)
    finally:
        await writer.close()
