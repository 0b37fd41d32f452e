"""Making empty images of these formats: their options, and the file that comes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.options import bad_choice
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.drivers.creation.file import chosen_extent_size
from backcheck_engine.drivers.creation.new_file import make_file, open_new_file
from backcheck_engine.drivers.creation.options import SIZE, CreateOption, CreateOptions, OptionKind
from backcheck_engine.drivers.format.header_only import qed, vdi, vhdx, vpc
from backcheck_engine.errors import OptionError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.drivers.format.header_only.header import NewImage

QED_OPTIONS: Final = (
    SIZE,
    CreateOption(name="backing_file", kind=OptionKind.STRING, help="File name of a base image"),
    CreateOption(name="backing_fmt", kind=OptionKind.STRING, help="Image format of the base image"),
    CreateOption(name="cluster_size", kind=OptionKind.SIZE, help="Cluster size (in bytes)", default="65536"),
    CreateOption(name="table_size", kind=OptionKind.SIZE, help="L1/L2 table size (in clusters)"),
)
VDI_OPTIONS: Final = (
    SIZE,
    CreateOption(name="static", kind=OptionKind.BOOL, help="VDI static (pre-allocated) image", default="off"),
)
VPC_OPTIONS: Final = (
    SIZE,
    CreateOption(
        name="subformat",
        kind=OptionKind.STRING,
        help="Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ",
    ),
    CreateOption(
        name="force_size",
        kind=OptionKind.BOOL,
        help="Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based "
        "calculation",
    ),
)
VHDX_OPTIONS: Final = (
    CreateOption(name="size", kind=OptionKind.SIZE, help="Virtual disk size; max of 64TB."),
    CreateOption(name="log_size", kind=OptionKind.SIZE, help="Log size; min 1MB.", default="1048576"),
    CreateOption(
        name="block_size",
        kind=OptionKind.SIZE,
        help="Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
        default="0",
    ),
    CreateOption(
        name="subformat",
        kind=OptionKind.STRING,
        help="VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.",
    ),
    CreateOption(
        name="block_state_zero",
        kind=OptionKind.BOOL,
        help="Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using "
        "'qemu-img convert' with subformat=dynamic.",
    ),
)
_QED_TABLE_CLUSTERS: Final = 4
_SUBFORMATS: Final = ("dynamic", "fixed")


def _new_qed(options: CreateOptions) -> NewImage:
    return qed.new_image(
        _size(options),
        cluster=options.number("cluster_size"),
        table=options.number("table_size") or _QED_TABLE_CLUSTERS,
        backing_file=options.text("backing_file") or "",
        backing_format=options.text("backing_fmt"),
    )


def _new_vdi(options: CreateOptions) -> NewImage:
    return vdi.new_image(_size(options), is_static=options.flag("static"))


def _new_vpc(options: CreateOptions) -> NewImage:
    _check_subformat("vpc", options)
    return vpc.new_image(_size(options), is_exact=options.flag("force_size"))


def _new_vhdx(options: CreateOptions) -> NewImage:
    _check_subformat("vhdx", options)
    return vhdx.new_image(
        _size(options),
        block=options.number("block_size"),
        log=options.number("log_size"),
        zero_blocks=options.get("block_state_zero") is None or options.flag("block_state_zero"),
    )


def _check_subformat(format_name: str, options: CreateOptions) -> None:
    """Refuse all but images that grow."""
    subformat = options.text("subformat") or "dynamic"
    if subformat not in _SUBFORMATS:
        raise bad_choice("subformat", subformat)
    if subformat != "dynamic":
        raise OptionError(f"backcheck-engine does not implement the subformat '{subformat}' of {format_name} yet")


def _size(options: CreateOptions) -> int:
    return -(-options.number("size") // SECTOR_SIZE) * SECTOR_SIZE


def _creator(
    new_image: Callable[[CreateOptions], NewImage],
) -> Callable[[Graph, str, CreateOptions], Awaitable[None]]:
    async def create_from_options(graph: Graph, filename: str, options: CreateOptions) -> None:
        await make_file(graph, filename, 0, chosen_extent_size(options))
        new = new_image(options)
        file = await open_new_file(graph, filename)
        writer = BlockBackend(graph, permissions=Permission.WRITE | Permission.RESIZE)
        try:
            writer.insert(file)
            await file.truncate(new.length, exact=False)
            for offset, content in new.parts:
                await file.pwrite(offset, content)
        finally:
            await writer.close()
            await file.unref()

    return create_from_options


CREATORS: Final[dict[str, tuple[Sequence[CreateOption], Callable[[Graph, str, CreateOptions], Awaitable[None]]]]] = {
    "qed": (QED_OPTIONS, _creator(_new_qed)),
    "vdi": (VDI_OPTIONS, _creator(_new_vdi)),
    "vhdx": (VHDX_OPTIONS, _creator(_new_vhdx)),
    "vpc": (VPC_OPTIONS, _creator(_new_vpc)),
}
"""For each format its options, and the function that makes the file and the image in it."""
