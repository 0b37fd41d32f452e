"""Starting backups: the arguments of drive-backup and blockdev-backup, typed, in schema order."""

from typing import Literal, TypeAlias, TypedDict

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.story.expectations import wire_name

SyncMode: TypeAlias = Literal["top", "full", "none", "incremental", "bitmap"]
OnError: TypeAlias = Literal["report", "ignore", "enospc", "stop", "auto"]
NewImageMode: TypeAlias = Literal["existing", "absolute-paths"]


class BackupOptions(TypedDict, total=False):
    """Arguments of both commands beyond device, target, job-id and sync; `x_perf` and the like are QMP's `x-perf`."""

    speed: int
    bitmap: str
    bitmap_mode: Literal["on-success", "never", "always"]
    compress: bool
    on_source_error: OnError
    on_target_error: OnError
    auto_finalize: bool
    auto_dismiss: bool
    filter_node_name: str
    discard_source: bool
    on_cbw_error: Literal["break-guest-write", "break-snapshot"]
    x_perf: JsonObject


class DriveBackupOptions(BackupOptions, total=False):
    """Arguments that only drive-backup has."""

    format: str
    mode: NewImageMode


BACKUP_COMMANDS = ("drive-backup", "blockdev-backup")
SCHEMA_ORDER = (
    "job-id",
    "device",
    "target",
    "format",
    "sync",
    "mode",
    "speed",
    "bitmap",
    "bitmap-mode",
    "compress",
    "on-source-error",
    "on-target-error",
    "auto-finalize",
    "auto-dismiss",
    "filter-node-name",
    "discard-source",
    "on-cbw-error",
    "x-perf",
)


def backup_arguments(
    job_id: str | None, device: str, target: str, sync: str, options: BackupOptions | DriveBackupOptions
) -> dict[str, JsonValue]:
    """The arguments of the command, as on the wire. Raises UsageError for one that no release has."""
    if unknown := [key for key in options if wire_name(key) not in SCHEMA_ORDER]:
        raise UsageError(
            f"a backup has no argument {wire_name(unknown[0])}; there are {', '.join(SCHEMA_ORDER)} "
            f"(to send another one: t.exchange or t.expect_error)"
        )
    named: dict[str, JsonValue] = {"device": device, "target": target, "sync": sync}
    if job_id is not None:
        named["job-id"] = job_id
    named.update({wire_name(key): value for key, value in options.items()})  # type: ignore[misc]
    return {name: named[name] for name in sorted(named, key=SCHEMA_ORDER.index)}
