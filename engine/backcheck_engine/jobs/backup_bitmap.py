"""The dirty bitmap of a backup: which one it may be, how long it is frozen, and what it holds afterwards.

The rules of this file, with `old` for what was marked at the start, `new` for what guests have written since, and
`left` for what was not copied:

    bitmap-mode   the job succeeded   the job failed or was cancelled
    on-success    new                 old + new
    never         old + new           old + new
    always        new                 left + new
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backcheck_engine.block.node_bitmaps import check_usable
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.backup_options import BackupOptions, BitmapMode, SyncMode

if TYPE_CHECKING:
    from backcheck_engine.block.block_copy import BlockCopy
    from backcheck_engine.block.dirty_bitmap import DirtyBitmap
    from backcheck_engine.block.node import Node

STARTS_ANEW: Final[dict[tuple[BitmapMode, bool], bool]] = {
    (BitmapMode.ON_SUCCESS, True): True,
    (BitmapMode.ON_SUCCESS, False): False,
    (BitmapMode.NEVER, True): False,
    (BitmapMode.NEVER, False): False,
    (BitmapMode.ALWAYS, True): True,
    (BitmapMode.ALWAYS, False): True,
}
"""By the mode and whether the job succeeded: whether what was marked at the start is forgotten."""

_READS_A_BITMAP: Final = (SyncMode.BITMAP, SyncMode.INCREMENTAL)


class SyncBitmap:
    """A bitmap in the hands of one backup. It is frozen from the making of the job until the job has settled it."""

    def __init__(self, node: Node, bitmap: DirtyBitmap, sync: SyncMode, mode: BitmapMode) -> None:
        self._node: Final = node
        self._bitmap = bitmap
        self._sync: Final = sync
        self._mode: Final = mode
        self._owes_more = False

    def freeze(self) -> None:
        """Take the bitmap: what guests write goes to its successor. Raises BlockError if it cannot be written."""
        if self._mode is not BitmapMode.NEVER:
            check_usable(self._bitmap)
        self._node.bitmaps.freeze(self._bitmap)

    def thaw(self) -> None:
        """Give the bitmap back, since there will be no job."""
        self._node.bitmaps.reclaim(self._bitmap)

    def choose_clusters(self, copy: BlockCopy) -> None:
        """Mark for copying what the bitmap marks, where it decides that."""
        if self._sync in _READS_A_BITMAP:
            copy.bitmap.clear_all()
            copy.bitmap.merge_from(self._bitmap)

    def settle(self, *, succeeded: bool, copy: BlockCopy) -> None:
        """The job has ended, well or not: see the table above."""
        if not STARTS_ANEW[self._mode, succeeded]:
            self._node.bitmaps.reclaim(self._bitmap)
            return
        self._bitmap = self._node.bitmaps.succeed(self._bitmap)
        if not succeeded:
            self._bitmap.merge_from(copy.bitmap)
            self._owes_more = copy.in_flight_bytes > 0

    def settle_in_flight(self, copy: BlockCopy) -> None:
        """Nothing is in flight any more: what guests' writes were copying at `settle`, and failed to, is owed too."""
        if self._owes_more:
            self._bitmap.merge_from(copy.bitmap)


def choose_bitmap(options: BackupOptions, source: Node) -> SyncBitmap | None:
    """The bitmap of a backup of `source`, still untouched, or None without one. Raises BlockError in QEMU's order."""
    sync, mode = options.sync, options.bitmap_mode
    if sync in _READS_A_BITMAP and options.bitmap is None:
        raise BlockError(f"must provide a valid bitmap name for '{sync.value}' sync mode")
    if sync is SyncMode.INCREMENTAL:
        if mode not in (None, BitmapMode.ON_SUCCESS):
            raise BlockError(
                f"Bitmap sync mode must be '{BitmapMode.ON_SUCCESS.value}' when using sync mode '{sync.value}'"
            )
        mode = BitmapMode.ON_SUCCESS
    if options.bitmap is None:
        if mode is not None:
            raise BlockError("Cannot specify bitmap sync mode without a bitmap")
        return None
    bitmap = source.bitmaps.find(options.bitmap)
    if bitmap is None:
        raise BlockError(f"Bitmap '{options.bitmap}' could not be found")
    if mode is None:
        raise BlockError("Bitmap sync mode must be given when providing a bitmap")
    check_usable(bitmap, allow_read_only=True)
    if sync is SyncMode.NONE:
        raise BlockError(f"sync mode '{sync.value}' does not produce meaningful bitmap outputs")
    if mode is BitmapMode.NEVER and sync not in _READS_A_BITMAP:
        raise BlockError(
            f"Bitmap sync mode '{mode.value}' has no meaningful effect when combined with sync mode '{sync.value}'"
        )
    return SyncBitmap(source, bitmap, sync, mode)
