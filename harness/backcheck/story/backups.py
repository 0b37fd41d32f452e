"""Backups as commands and as actions: the arguments of drive-backup and blockdev-backup, typed, in schema order."""

from copy import copy
from typing import Literal, TypeAlias, TypedDict

from backcheck.errors import UsageError
from backcheck.json_types import JsonObject, JsonValue
from backcheck.qmp import Exchange
from backcheck.story.bitmaps import Bitmap
from backcheck.story.expectations import wire_name
from backcheck.story.images import Image
from backcheck.story.jobs import Job
from backcheck.story.session import Session
from backcheck.story.transactions import Action

SyncMode: TypeAlias = Literal["top", "full", "none", "incremental", "bitmap"]
OnError: TypeAlias = Literal["report", "ignore", "enospc", "stop", "auto"]
NewImageMode: TypeAlias = Literal["existing", "absolute-paths"]


class BackupOptions(TypedDict, total=False):
    """Arguments of both commands beyond device, target, job-id and sync; `x_perf` and the like are QMP's `x-perf`."""

    speed: int
    bitmap: str | Bitmap
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


NEXT_JOB_ID = "(next)"
"""As job id: `job0`, `job1` and so on."""

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
    for key, value in options.items():
        named[wire_name(key)] = value.name if isinstance(value, Bitmap) else value  # type: ignore[assignment]
    return {name: named[name] for name in sorted(named, key=SCHEMA_ORDER.index)}


class BackupAction(Action):
    """The start of a backup, as a command or as an action. `image` is what drive-backup writes."""

    def __init__(
        self,
        command: str,
        device: str,
        target: str,
        sync: SyncMode,
        job_id: str | None,
        options: BackupOptions | DriveBackupOptions,
        image: Image | None,
    ) -> None:
        super().__init__(command, backup_arguments(job_id, device, target, sync, options))
        self.job_id = job_id or device
        self._image = image
        self._options = options

    def named(self, next_id: str) -> "BackupAction":
        """The same with a job id that is certain: its own, or else this one."""
        if self.job_id != NEXT_JOB_ID:
            return self
        named = copy(self)
        named.job_id, named.data = next_id, {**self.data, "job-id": next_id}
        return named

    def job(self, session: Session, start: Exchange) -> Job:
        """The job that it has become."""
        options = self._options
        return Job(
            session,
            self.job_id,
            start,
            target=self._image,
            auto_finalize=options.get("auto_finalize", True),
            auto_dismiss=options.get("auto_dismiss", True),
            speed=options.get("speed", 0),
        )
