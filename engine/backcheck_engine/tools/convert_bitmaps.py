"""convert --bitmaps: the persistent bitmaps of the source, copied into the target."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.errors import EngineError
from backcheck_engine.jobs.bitmap_actions import (
    BitmapAddAction,
    BitmapMergeAction,
    BitmapReference,
    BitmapRemoveAction,
    NewBitmap,
    do_alone,
)
from backcheck_engine.tools.program import Program, ToolError

if TYPE_CHECKING:
    from backcheck_engine.block.dirty_bitmap import DirtyBitmap
    from backcheck_engine.block.node import Node


def check_source(node: "Node", *, skip_broken: bool) -> None:
    """Raise ToolError unless the bitmaps of `node` can be copied."""
    if not node.driver.stores_bitmaps():
        raise ToolError("Source lacks bitmap support")
    if skip_broken or release.current() < release.QEMU_7_2:
        return
    for bitmap in _persistent(node):
        if bitmap.inconsistent:
            raise ToolError(
                f"Cannot copy inconsistent bitmap '{bitmap.name}'",
                hint="Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it",
            )


def check_target(node: "Node") -> None:
    """Raise ToolError unless `node` can store bitmaps."""
    if not node.driver.stores_bitmaps():
        raise ToolError(f"Format driver '{node.format_name}' does not support bitmaps")


async def copy_bitmaps(program: Program, source: "Node", target: "Node", *, skip_broken: bool) -> None:
    """Give the target each bitmap of the source. Raises ToolError; what was copied before stays."""
    for bitmap in _persistent(source):
        if bitmap.inconsistent and skip_broken:
            program.warning(f"Skipping inconsistent bitmap '{bitmap.name}'")
            continue
        await _copy_bitmap(bitmap, source, target)


def _persistent(node: "Node") -> "Iterator[DirtyBitmap]":
    return (bitmap for bitmap in node.bitmaps if bitmap.persistent)


async def _copy_bitmap(bitmap: "DirtyBitmap", source: "Node", target: "Node") -> None:
    name = bitmap.name or ""
    wanted = NewBitmap(
        node=target.node_name,
        name=name,
        granularity=bitmap.granularity,
        persistent=True,
        disabled=not bitmap.recording,
    )
    try:
        await do_alone(BitmapAddAction(target.graph, wanted))
    except EngineError as error:
        raise ToolError(f"Failed to create bitmap {name}: {error}", hint=error.hint) from error
    copy = BitmapReference(node=target.node_name, name=name)
    try:
        original = BitmapReference(node=source.node_name, name=name)
        await do_alone(BitmapMergeAction(target.graph, copy, [original]))
    except EngineError as error:
        if release.current() >= release.QEMU_7_2:
            await do_alone(BitmapRemoveAction(target.graph, copy))
        raise ToolError(f"Failed to populate bitmap {name}: {error}", hint=error.hint) from error
