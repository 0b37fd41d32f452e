"""The commands `blockdev-snapshot` and `blockdev-snapshot-sync`, and the actions of transactions about snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.jobs.snapshot_actions import (
    BlockdevSnapshotAction,
    BlockdevSnapshotSyncAction,
    InternalSnapshotAction,
    OverlayImage,
)
from backcheck_engine.monitor.action_registry import perform, transaction_action
from backcheck_engine.monitor.registry import command

if TYPE_CHECKING:
    from backcheck_engine.jobs.transaction import Action
    from backcheck_engine.json_value import JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevSnapshot:
    """Arguments of `blockdev-snapshot`."""

    node: str
    overlay: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevSnapshotSync:
    """Arguments of `blockdev-snapshot-sync`."""

    snapshot_file: str
    device: str | None = None
    node_name: str | None = None
    snapshot_node_name: str | None = None
    format: str = "qcow2"
    mode: str = "absolute-paths"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevSnapshotInternal:
    """Data of the action `blockdev-snapshot-internal-sync`."""

    device: str
    name: str


@transaction_action("blockdev-snapshot", BlockdevSnapshot)
def blockdev_snapshot_action(context: Context, arguments: BlockdevSnapshot) -> Action:
    """Put a node above another."""
    return BlockdevSnapshotAction(context.graph, arguments.node, arguments.overlay)


@transaction_action("blockdev-snapshot-sync", BlockdevSnapshotSync)
def blockdev_snapshot_sync_action(context: Context, arguments: BlockdevSnapshotSync) -> Action:
    """Put an image above a node."""
    image = OverlayImage(
        filename=arguments.snapshot_file,
        format_name=arguments.format,
        node_name=arguments.snapshot_node_name,
        exists=arguments.mode == "existing",
    )
    return BlockdevSnapshotSyncAction(
        context.graph, arguments.device, arguments.node_name, image, write_stdout=context.write_stdout
    )


@transaction_action("blockdev-snapshot-internal-sync", BlockdevSnapshotInternal)
def blockdev_snapshot_internal_sync_action(context: Context, arguments: BlockdevSnapshotInternal) -> Action:
    """Refuse."""
    return InternalSnapshotAction(context.graph, arguments.device)


@command("blockdev-snapshot", BlockdevSnapshot)
async def blockdev_snapshot(context: Context, arguments: BlockdevSnapshot) -> JsonValue:
    """Put a node above another."""
    await perform(context, blockdev_snapshot_action(context, arguments))
    return {}


@command("blockdev-snapshot-sync", BlockdevSnapshotSync)
async def blockdev_snapshot_sync(context: Context, arguments: BlockdevSnapshotSync) -> JsonValue:
    """Put an image above a node."""
    await perform(context, blockdev_snapshot_sync_action(context, arguments))
    return {}
