"""Commands about exports; the server that shows them is in `nbd_server`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from backcheck_engine.block.iothread import move
from backcheck_engine.errors import BlockError
from backcheck_engine.monitor.registry import NoArguments, command, tree_command
from backcheck_engine.nbd.export import BitmapReference, ExportSettings
from backcheck_engine.nbd.export_list import ExportList

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.nbd.export import Export

_NBD: Final = "nbd"
_SAFE: Final = "safe"


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdServerAdd:
    """Arguments of `nbd-server-add`."""

    device: str
    name: str | None = None
    description: str = ""
    writable: bool = False
    bitmap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdServerRemove:
    """Arguments of `nbd-server-remove`."""

    name: str
    mode: str = _SAFE


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockExportDel:
    """Arguments of `block-export-del`."""

    id: str
    mode: str = _SAFE


def export_list(context: Context) -> ExportList:
    """The machine's exports; the list is made when a command first asks for it."""
    if context.exports is None:
        context.exports = ExportList(lambda identity: context.emit("BLOCK_EXPORT_DELETED", {"id": identity}))
    return context.exports


@command("nbd-server-add", NbdServerAdd)
async def nbd_server_add(context: Context, arguments: NbdServerAdd) -> JsonValue:
    """Export a device or a node; one that cannot be written is exported for readers, whatever was asked.

    A drive whose medium is taken out takes the export along.
    """
    node = context.graph.find_device_or_node(arguments.device)
    identity = arguments.device if arguments.name is None else arguments.name
    exports = export_list(context)
    exports.check_identity(identity)
    settings = ExportSettings(
        identity=identity,
        name=identity,
        description=arguments.description,
        writable=arguments.writable and node.is_writable,
        bitmaps=() if arguments.bitmap is None else (BitmapReference(arguments.bitmap),),
    )
    export = await exports.add(settings, node)
    drive = context.graph.backends.get(arguments.device)
    if drive is not None:
        exports.remove_with(export, drive)
    return {}


@command("nbd-server-remove", NbdServerRemove)
async def nbd_server_remove(context: Context, arguments: NbdServerRemove) -> JsonValue:
    """Take an export back, by its id."""
    await _remove(context, arguments.name, arguments.mode)
    return {}


@tree_command("block-export-add")
async def block_export_add(context: Context, arguments: JsonObject) -> JsonValue:
    """Export a node."""
    exports = export_list(context)
    identity, kind, node_name = (str(arguments[member]) for member in ("id", "type", "node-name"))
    exports.check_identity(identity)
    if kind != _NBD:
        raise BlockError("No driver found for the requested export type")
    node = context.graph.find(None, node_name)
    writable = bool(arguments.get("writable", False))
    if writable and not node.is_writable:
        raise BlockError("Cannot export read-only node as writable")
    fixed_iothread = bool(arguments.get("fixed-iothread", False))
    _move_to_iothread(context, node, arguments.get("iothread"), must_move=fixed_iothread)
    settings = ExportSettings(
        identity=identity,
        name=str(arguments.get("name", node_name)),
        description=str(arguments.get("description", "")),
        writable=writable,
        writethrough=bool(arguments.get("writethrough", False)),
        bitmaps=[_bitmap_reference(given) for given in cast("list[JsonValue]", arguments.get("bitmaps", []))],
        allocation_depth=bool(arguments.get("allocation-depth", False)),
        fixed_iothread=fixed_iothread,
    )
    await exports.add(settings, node)
    return {}


@command("block-export-del", BlockExportDel)
async def block_export_del(context: Context, arguments: BlockExportDel) -> JsonValue:
    """Take an export back."""
    await _remove(context, arguments.id, arguments.mode)
    return {}


@command("query-block-exports", NoArguments)
async def query_block_exports(context: Context, arguments: NoArguments) -> JsonValue:
    """All exports, the newest first; also those whose clients have not gone yet."""
    return [_info(export) for export in export_list(context).newest_first()]


def _info(export: Export) -> JsonObject:
    return {
        "id": export.identity,
        "type": export.kind,
        "node-name": export.node_name,
        "shutting-down": not export.is_wanted,
    }


async def _remove(context: Context, identity: str, mode: str) -> None:
    exports = export_list(context)
    export = exports.find(identity)
    if export is None:
        raise BlockError(f"Export '{identity}' is not found")
    if not export.is_wanted:
        raise BlockError(f"Export '{identity}' is already shutting down")
    if mode == _SAFE and export.clients:
        raise BlockError(f"export '{identity}' still in use", hint="Use mode='hard' to force client disconnect")
    await exports.request_shutdown(export)


def _move_to_iothread(context: Context, node: Node, given: JsonValue, *, must_move: bool) -> None:
    """Take the node to the first iothread that is named; what keeps it where it is matters only if it must move."""
    names = [str(name) for name in (given if isinstance(given, list) else [given]) if name is not None]
    for name in names:
        if context.objects.find(name, "iothread") is None:
            raise BlockError(f'iothread "{name}" not found')
    try:
        if names:
            move(node, names[0])
    except BlockError:
        if must_move:
            raise


def _bitmap_reference(given: JsonValue) -> BitmapReference:
    """A BlockDirtyBitmapOrStr, which the schema has checked."""
    if isinstance(given, dict):
        return BitmapReference(str(given["name"]), str(given["node"]))
    return BitmapReference(str(given))
