"""What a backup is asked to do: the arguments that `drive-backup` and `blockdev-backup` share, typed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from backcheck_engine.block.backend import OnError


class SyncMode(Enum):
    """MirrorSyncMode: which clusters a backup copies."""

    TOP = "top"
    """Those that the source itself holds, and not its backing."""
    FULL = "full"
    """All."""
    NONE = "none"
    """Only those that guests change meanwhile."""
    INCREMENTAL = "incremental"
    """BITMAP, where the bitmap starts anew when all is copied."""
    BITMAP = "bitmap"
    """Those that a dirty bitmap marks."""


class BitmapMode(Enum):
    """BitmapSyncMode: what becomes of the bitmap in the end."""

    ON_SUCCESS = "on-success"
    NEVER = "never"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """BackupCommon: what `drive-backup` and `blockdev-backup` share. Sizes and speed are in bytes."""

    sync: SyncMode
    job_id: str | None = None
    """Without one, the id of the device whose root the source is."""
    speed: int = 0
    bitmap: str | None = None
    bitmap_mode: BitmapMode | None = None
    compress: bool = False
    on_source_error: OnError = OnError.REPORT
    on_target_error: OnError = OnError.REPORT
    auto_finalize: bool = True
    auto_dismiss: bool = True
    filter_node_name: str | None = None
    discard_source: bool = False
    breaks_snapshot: bool = False
    """on-cbw-error=break-snapshot: rather give up the copy than fail a guest's write."""
    use_copy_range: bool | None = None
    """Whether the host's kernel is asked to copy first; None: as the release does without being told."""
    max_workers: int = 64
    max_chunk: int = 0
    min_cluster_size: int = 0
