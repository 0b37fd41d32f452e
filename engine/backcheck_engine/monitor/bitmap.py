"""Commands on dirty bitmaps, and the actions of the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.jobs.bitmap_actions import (
    BitmapAddAction,
    BitmapClearAction,
    BitmapDisableAction,
    BitmapEnableAction,
    BitmapMergeAction,
    BitmapReference,
    BitmapRemoveAction,
    NewBitmap,
    do_alone,
)
from backcheck_engine.monitor.action_registry import TypedMaker, transaction_action
from backcheck_engine.monitor.registry import ArgumentsT, command

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDirtyBitmapMerge:
    """Arguments of `block-dirty-bitmap-merge`."""

    node: str
    target: str
    bitmaps: list[JsonValue]


def _add(context: Context, arguments: NewBitmap) -> BitmapAddAction:
    return BitmapAddAction(context.graph, arguments)


def _remove(context: Context, arguments: BitmapReference) -> BitmapRemoveAction:
    return BitmapRemoveAction(context.graph, arguments)


def _clear(context: Context, arguments: BitmapReference) -> BitmapClearAction:
    return BitmapClearAction(context.graph, arguments)


def _enable(context: Context, arguments: BitmapReference) -> BitmapEnableAction:
    return BitmapEnableAction(context.graph, arguments)


def _disable(context: Context, arguments: BitmapReference) -> BitmapDisableAction:
    return BitmapDisableAction(context.graph, arguments)


def _merge(context: Context, arguments: BlockDirtyBitmapMerge) -> BitmapMergeAction:
    target = BitmapReference(node=arguments.node, name=arguments.target)
    return BitmapMergeAction(context.graph, target, [_merge_source(source) for source in arguments.bitmaps])


def _merge_source(source: JsonValue) -> str | BitmapReference:
    """A BlockDirtyBitmapOrStr, which the schema has checked."""
    if isinstance(source, dict):
        return BitmapReference(node=str(source["node"]), name=str(source["name"]))
    return str(source)


def _declare(name: str, arguments: type[ArgumentsT], make: TypedMaker[ArgumentsT]) -> None:
    """Make `name` an action and a command. The command, unlike one of a job, lets the guest's requests go on."""

    async def run(context: Context, given: ArgumentsT) -> JsonValue:
        await do_alone(make(context, given))
        return {}

    transaction_action(name, arguments)(make)
    command(name, arguments)(run)


_declare("block-dirty-bitmap-add", NewBitmap, _add)
_declare("block-dirty-bitmap-remove", BitmapReference, _remove)
_declare("block-dirty-bitmap-clear", BitmapReference, _clear)
_declare("block-dirty-bitmap-enable", BitmapReference, _enable)
_declare("block-dirty-bitmap-disable", BitmapReference, _disable)
_declare("block-dirty-bitmap-merge", BlockDirtyBitmapMerge, _merge)


@command("x-debug-block-dirty-bitmap-sha256", BitmapReference)
async def debug_sha256(context: Context, arguments: BitmapReference) -> JsonValue:
    """The digest of a bitmap's bits, whatever state it is in."""
    _, bitmap = arguments.find(context.graph)
    return {"sha256": bitmap.sha256()}
