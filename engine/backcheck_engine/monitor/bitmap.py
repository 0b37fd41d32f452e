"""Commands on dirty bitmaps, and the actions of the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.block.node_bitmaps import find_bitmap
from backcheck_engine.jobs.bitmap_actions import (
    BitmapAddAction,
    BitmapClearAction,
    BitmapDisableAction,
    BitmapEnableAction,
    BitmapMergeAction,
    BitmapReference,
    BitmapRemoveAction,
    NewBitmap,
)
from backcheck_engine.jobs.group import JobGroup
from backcheck_engine.monitor.action_registry import TypedMaker, transaction_action
from backcheck_engine.monitor.registry import ArgumentsT, command

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDirtyBitmap:
    """Arguments of the commands on one bitmap."""

    node: str
    name: str

    @property
    def reference(self) -> BitmapReference:
        """The same for the actions."""
        return BitmapReference(node=self.node, name=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDirtyBitmapAdd:
    """Arguments of `block-dirty-bitmap-add`."""

    node: str
    name: str
    granularity: int | None = None
    persistent: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDirtyBitmapMerge:
    """Arguments of `block-dirty-bitmap-merge`."""

    node: str
    target: str
    bitmaps: list[JsonValue]


def _add(context: Context, arguments: BlockDirtyBitmapAdd) -> BitmapAddAction:
    wanted = NewBitmap(
        node=arguments.node,
        name=arguments.name,
        granularity=arguments.granularity,
        persistent=arguments.persistent,
        disabled=arguments.disabled,
    )
    return BitmapAddAction(context.graph, wanted)


def _remove(context: Context, arguments: BlockDirtyBitmap) -> BitmapRemoveAction:
    return BitmapRemoveAction(context.graph, arguments.reference)


def _clear(context: Context, arguments: BlockDirtyBitmap) -> BitmapClearAction:
    return BitmapClearAction(context.graph, arguments.reference)


def _enable(context: Context, arguments: BlockDirtyBitmap) -> BitmapEnableAction:
    return BitmapEnableAction(context.graph, arguments.reference)


def _disable(context: Context, arguments: BlockDirtyBitmap) -> BitmapDisableAction:
    return BitmapDisableAction(context.graph, arguments.reference)


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
        action = make(context, given)
        await action.prepare(JobGroup())
        await action.commit()
        return {}

    transaction_action(name, arguments)(make)
    command(name, arguments)(run)


_declare("block-dirty-bitmap-add", BlockDirtyBitmapAdd, _add)
_declare("block-dirty-bitmap-remove", BlockDirtyBitmap, _remove)
_declare("block-dirty-bitmap-clear", BlockDirtyBitmap, _clear)
_declare("block-dirty-bitmap-enable", BlockDirtyBitmap, _enable)
_declare("block-dirty-bitmap-disable", BlockDirtyBitmap, _disable)
_declare("block-dirty-bitmap-merge", BlockDirtyBitmapMerge, _merge)


@command("x-debug-block-dirty-bitmap-sha256", BlockDirtyBitmap)
async def debug_sha256(context: Context, arguments: BlockDirtyBitmap) -> JsonValue:
    """The digest of a bitmap's bits, whatever state it is in."""
    _, bitmap = find_bitmap(context.graph, arguments.node, arguments.name)
    return {"sha256": bitmap.sha256()}
