"""Making qcow2 images: the options, what combinations they allow, and the first clusters of a new image."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.options import bad_choice
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.creation.file import chosen_extent_size
from backcheck_engine.drivers.creation.new_file import delete_file_of, make_file, node_of, open_new_file
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, OptionKind
from backcheck_engine.drivers.format.qcow2.driver import Qcow2Driver
from backcheck_engine.drivers.format.qcow2.header import (
    Autoclear,
    Compatible,
    CompressionType,
    Header,
    Incompatible,
    pack_header,
)
from backcheck_engine.errors import BlockError, EngineError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject

OPTIONS: Sequence[CreateOption] = (
    CreateOption(name="cluster_size", kind=OptionKind.SIZE, help="qcow2 cluster size", default="65536"),
    CreateOption(name="extended_l2", kind=OptionKind.BOOL, help="Extended L2 tables", default="off"),
    CreateOption(
        name="preallocation",
        kind=OptionKind.STRING,
        help="Preallocation mode (allowed values: off, metadata, falloc, full)",
    ),
    CreateOption(
        name="compression_type",
        kind=OptionKind.STRING,
        help="Compression method used for image cluster compression",
        default="zlib",
    ),
    SIZE,
    CreateOption(name="compat", kind=OptionKind.STRING, help="Compatibility level (v2 [0.10] or v3 [1.1])"),
    CreateOption(name="backing_file", kind=OptionKind.STRING, help="File name of a base image"),
    CreateOption(name="backing_fmt", kind=OptionKind.STRING, help="Image format of the base image"),
    CreateOption(name="data_file", kind=OptionKind.STRING, help="File name of an external data file"),
    CreateOption(
        name="data_file_raw",
        kind=OptionKind.BOOL,
        help="The external data file must stay valid as a raw image",
    ),
    CreateOption(
        name="keep_data_file",
        kind=OptionKind.BOOL,
        help="Assume the external data file already exists and do not overwrite it",
    ),
    CreateOption(name="lazy_refcounts", kind=OptionKind.BOOL, help="Postpone refcount updates", default="off"),
    CreateOption(
        name="refcount_bits",
        kind=OptionKind.NUMBER,
        help="Width of a reference count entry in bits",
        default="16",
    ),
)

_VERSIONS = {"0.10": 2, "1.1": 3, "v2": 2, "v3": 3}
_PREALLOCATIONS = ("off", "metadata", "falloc", "full")
_MIN_EXTENDED_CLUSTER = 16384
_NEEDS_V3 = "only supported with compatibility level 1.1 and above (use version=v3 or greater)"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """What a new image is to be."""

    size: int
    version: int = 3
    cluster_size: int = 65536
    preallocation: str = "off"
    lazy_refcounts: bool = False
    refcount_bits: int = 16
    extended_l2: bool = False
    compression_type: str = "zlib"
    data_file: str | None = None
    """The external data file's name as the header records it ('' for none recorded), or None without such a file."""
    data_file_raw: bool = False
    backing_file: str | None = None
    backing_format: str | None = None

    def verify(self) -> None:
        """Refuse combinations that QEMU refuses, in its order. Raises BlockError."""
        for is_wrong, message in self._objections():
            if is_wrong:
                raise BlockError(message, errno.EINVAL)

    def _objections(self) -> list[tuple[bool, str]]:
        old = self.version < 3
        size, bits = self.cluster_size, self.refcount_bits
        return [
            (self.size % SECTOR_SIZE != 0, f"Image size must be a multiple of {SECTOR_SIZE} bytes"),
            (
                not 512 <= size <= 2 << 20 or size & (size - 1) != 0,
                "Cluster size must be a power of two between 512 and 2048k",
            ),
            (self.extended_l2 and old, f"Extended L2 entries are {_NEEDS_V3}"),
            (
                self.extended_l2 and size < _MIN_EXTENDED_CLUSTER,
                f"Extended L2 entries are only supported with cluster sizes of at least {_MIN_EXTENDED_CLUSTER} bytes",
            ),
            (
                self.preallocation != "off" and self.backing_file is not None and not self.extended_l2,
                "Backing file and preallocation can only be used at the same time if extended_l2 is on",
            ),
            (
                self.backing_format is not None and self.backing_file is None,
                "Backing format cannot be used without backing file",
            ),
            (self.lazy_refcounts and old, f"Lazy refcounts {_NEEDS_V3}"),
            (
                not 0 < bits <= 64 or bits & (bits - 1) != 0,
                "Refcount width must be a power of two and may not exceed 64 bits",
            ),
            (
                old and bits != 16,
                "Different refcount widths than 16 bits require compatibility level 1.1 or above "
                "(use version=v3 or greater)",
            ),
            (self.data_file_raw and self.data_file is None, "data-file-raw requires data-file"),
            (
                self.data_file_raw and self.backing_file is not None,
                "Backing file and data-file-raw cannot be used at the same time",
            ),
            (self.data_file is not None and old, f"External data files are {_NEEDS_V3}"),
            (self.compression_type != "zlib" and old, f"Non-zlib compression type is {_NEEDS_V3}"),
        ]

    def first_header(self) -> Header:
        """The header of an image without a size yet: refcount table in cluster 1, its first block in cluster 2."""
        incompatible = Incompatible(0)
        if self.data_file is not None:
            incompatible |= Incompatible.DATA_FILE
        if self.compression_type != "zlib":
            incompatible |= Incompatible.COMPRESSION
        if self.extended_l2:
            incompatible |= Incompatible.EXTENDED_L2
        return Header(
            version=self.version,
            cluster_bits=self.cluster_size.bit_length() - 1,
            refcount_table_offset=self.cluster_size,
            refcount_table_clusters=1,
            incompatible=incompatible,
            compatible=Compatible.LAZY_REFCOUNTS if self.lazy_refcounts else Compatible(0),
            autoclear=Autoclear.DATA_FILE_RAW if self.data_file_raw else Autoclear(0),
            refcount_order=self.refcount_bits.bit_length() - 1,
            compression_type=CompressionType[self.compression_type.upper()],
            data_file=self.data_file or "",
            backing_name=self.backing_file or "",
            backing_format=self.backing_format or "",
        )


def _choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise bad_choice(name, value)
    return value


def _compression_types() -> tuple[str, ...]:
    """5.2 of the distributions was built without zstd."""
    return ("zlib",) if release.current() < release.QEMU_7_2 else ("zlib", "zstd")


async def create_from_options(graph: Graph, filename: str, options: CreateOptions) -> None:
    """Make the file and the image in it by text options. Raises in QEMU's words."""
    data_file = options.text("data_file")
    new = NewImage(
        size=-(-options.number("size") // SECTOR_SIZE) * SECTOR_SIZE,
        version=_VERSIONS[_choice("version", options.text("compat") or "1.1", list(_VERSIONS))],
        cluster_size=options.number("cluster_size"),
        preallocation=_choice("preallocation", options.text("preallocation") or "off", _PREALLOCATIONS),
        lazy_refcounts=options.flag("lazy_refcounts"),
        refcount_bits=options.number("refcount_bits"),
        extended_l2=options.flag("extended_l2"),
        compression_type=_choice("compression-type", options.text("compression_type") or "zlib", _compression_types()),
        data_file=data_file,
        data_file_raw=options.flag("data_file_raw"),
        backing_file=options.text("backing_file"),
        backing_format=options.text("backing_fmt"),
    )
    await make_file(graph, filename, 0, chosen_extent_size(options))
    file = await open_new_file(graph, filename)
    data = None
    try:
        if data_file is not None:
            if not options.flag("keep_data_file"):
                await make_file(graph, data_file, new.size)
            data = await open_new_file(graph, data_file)
        await create_on_nodes(graph, file, data, new)
    except EngineError:
        if release.current() >= release.QEMU_7_2:
            for failed in (file, data):
                delete_file_of(failed)
        raise
    finally:
        if data is not None:
            await data.unref()
        await file.unref()


async def create_from_qapi(graph: Graph, options: JsonObject) -> None:
    """BlockdevCreateOptionsQcow2 of QAPI: an image on nodes. Raises in QEMU's words."""

    def text(name: str, default: str | None = None) -> str | None:
        value = options.get(name, default)
        return None if value is None else str(value)

    def number(name: str, default: int) -> int:
        value = options.get(name, default)
        assert isinstance(value, int)
        return value

    file = await node_of(graph, options["file"])
    data = None
    try:
        data = await node_of(graph, options["data-file"]) if "data-file" in options else None
        new = NewImage(
            size=number("size", 0),
            version=_VERSIONS[text("version", "v3") or "v3"],
            cluster_size=number("cluster-size", 65536),
            preallocation=text("preallocation", "off") or "off",
            lazy_refcounts=bool(options.get("lazy-refcounts", False)),
            refcount_bits=number("refcount-bits", 16),
            extended_l2=bool(options.get("extended-l2", False)),
            compression_type=text("compression-type", "zlib") or "zlib",
            data_file=data.exact_filename if data is not None else None,
            data_file_raw=bool(options.get("data-file-raw", False)),
            backing_file=text("backing-file"),
            backing_format=text("backing-fmt"),
        )
        if "encrypt" in options:
            raise BlockError("backcheck-engine does not implement encrypted images yet", errno.ENOTSUP)
        await create_on_nodes(graph, file, data, new)
    finally:
        if data is not None:
            await data.unref()
        await file.unref()


async def create_on_nodes(graph: Graph, file: Node, data: Node | None, new: NewImage) -> None:
    """Make an image in `file`, with its data in `data` if that is given. Raises BlockError in QEMU's words."""
    new.verify()
    writer = BlockBackend(graph, permissions=Permission.WRITE | Permission.RESIZE)
    writer.insert(file)
    try:
        await file.truncate(0, exact=False)
        try:
            await file.pwrite(0, _first_clusters(new.first_header()))
        except BlockError as error:
            raise error.prefixed("Could not write qcow2 header: ") from error
    finally:
        await writer.close()
    tree: JsonObject = {"driver": "qcow2", "file": file.node_name, "backing": None, "cache.no-flush": True}
    if data is not None:
        tree["data-file"] = data.node_name
    node = await open_node(graph, tree)
    try:
        driver = node.driver
        assert isinstance(driver, Qcow2Driver)
        if new.size:
            try:
                await node.truncate(new.size, exact=False, preallocation=new.preallocation)
            except BlockError as error:
                raise error.prefixed("Could not resize image: ") from error
        await node.flush()
    finally:
        await node.unref()


def _first_clusters(header: Header) -> bytes:
    """Header, refcount table and first refcount block, which counts these three."""
    size = 1 << header.cluster_bits
    table = struct.pack(">Q", 2 * size).ljust(size, b"\0")
    block = bytearray(size)
    bits = 1 << header.refcount_order
    for index in range(3):
        if bits >= 8:
            block[(index + 1) * bits // 8 - 1] = 1
        else:
            block[index * bits // 8] |= 1 << index * bits % 8
    return pack_header(header) + table + bytes(block)
