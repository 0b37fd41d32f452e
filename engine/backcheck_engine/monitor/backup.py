"""The commands `drive-backup` and `blockdev-backup`: arguments as the client wrote them, made into actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from backcheck_engine.block.backend import OnError
from backcheck_engine.jobs.backup_actions import BackupAction, BlockdevBackupAction, DriveBackupAction
from backcheck_engine.jobs.backup_options import BackupOptions, BitmapMode, SyncMode
from backcheck_engine.jobs.backup_target import DriveTarget
from backcheck_engine.monitor.action_registry import perform, transaction_action
from backcheck_engine.monitor.registry import command

if TYPE_CHECKING:
    from backcheck_engine.jobs.transaction import Action
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupArguments:
    """BackupCommon."""

    device: str
    sync: str
    target: str
    job_id: str | None = None
    speed: int = 0
    bitmap: str | None = None
    bitmap_mode: str | None = None
    compress: bool = False
    on_source_error: str = "report"
    on_target_error: str = "report"
    auto_finalize: bool = True
    auto_dismiss: bool = True
    filter_node_name: str | None = None
    discard_source: bool = False
    on_cbw_error: str = "break-guest-write"
    x_perf: JsonObject | None = None

    def options(self) -> BackupOptions:
        """The same, typed."""
        performance = self.x_perf or {}
        return BackupOptions(
            sync=SyncMode(self.sync),
            job_id=self.job_id,
            speed=self.speed,
            bitmap=self.bitmap,
            bitmap_mode=BitmapMode(self.bitmap_mode) if self.bitmap_mode is not None else None,
            compress=self.compress,
            on_source_error=OnError(self.on_source_error),
            on_target_error=OnError(self.on_target_error),
            auto_finalize=self.auto_finalize,
            auto_dismiss=self.auto_dismiss,
            filter_node_name=self.filter_node_name,
            discard_source=self.discard_source,
            breaks_snapshot=self.on_cbw_error == "break-snapshot",
            use_copy_range=cast("bool | None", performance.get("use-copy-range")),
            max_workers=cast("int", performance.get("max-workers", 64)),
            max_chunk=cast("int", performance.get("max-chunk", 0)),
            min_cluster_size=cast("int", performance.get("min-cluster-size", 0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockdevBackupArguments(BackupArguments):
    """BlockdevBackup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveBackupArguments(BackupArguments):
    """DriveBackup."""

    format: str | None = None
    mode: str = "absolute-paths"


@transaction_action("blockdev-backup", BlockdevBackupArguments)
def blockdev_backup_action(context: Context, arguments: BlockdevBackupArguments) -> BlockdevBackupAction:
    """Back up a device to a node."""
    return BlockdevBackupAction(context.graph, context.jobs, arguments.device, arguments.target, arguments.options())


@transaction_action("drive-backup", DriveBackupArguments)
def drive_backup_action(context: Context, arguments: DriveBackupArguments) -> DriveBackupAction:
    """Back up a device to a file."""
    target = DriveTarget(filename=arguments.target, format_name=arguments.format, exists=arguments.mode == "existing")
    return DriveBackupAction(
        context.graph,
        context.jobs,
        arguments.device,
        target,
        arguments.options(),
        write_stdout=context.write_stdout,
    )


@command("blockdev-backup", BlockdevBackupArguments)
async def blockdev_backup(context: Context, arguments: BlockdevBackupArguments) -> JsonValue:
    """Back up a device to a node."""
    return await _back_up(context, blockdev_backup_action(context, arguments))


@command("drive-backup", DriveBackupArguments)
async def drive_backup(context: Context, arguments: DriveBackupArguments) -> JsonValue:
    """Back up a device to a file."""
    return await _back_up(context, drive_backup_action(context, arguments))


async def _back_up(context: Context, action: Action) -> JsonValue:
    assert isinstance(action, BackupAction)
    await perform(context, action)
    await action.settled()
    return {}
