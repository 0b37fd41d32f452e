"""The backup job: copies its source as it was at the start, while the filter above the source guards that moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.backend import ErrorAction
from backcheck_engine.block.block_copy_call import BlockCopyCall
from backcheck_engine.block.blockers import Operation
from backcheck_engine.jobs.backup_options import SyncMode
from backcheck_engine.jobs.block_job import BlockJob

if TYPE_CHECKING:
    from backcheck_engine.block.block_copy import BlockCopy, CopyFailure
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.filter.copy_before_write import CopyBeforeWriteDriver
    from backcheck_engine.jobs.backup_bitmap import SyncBitmap
    from backcheck_engine.jobs.backup_options import BackupOptions
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.jobs.job_list import JobList

SCANS_AT_A_STRETCH: Final = 32
"""After so many looks at the source's tables, others get their turn."""


class BackupJob(BlockJob):
    """Copies in the background, through the state that it shares with the filter."""

    job_type: ClassVar[str] = "backup"

    def __init__(
        self,
        graph: Graph,
        jobs: JobList,
        group: JobGroup,
        options: BackupOptions,
        *,
        job_id: str,
        target: Node,
        guard: CopyBeforeWriteDriver,
        bitmap: SyncBitmap | None = None,
    ) -> None:
        super().__init__(
            graph, jobs, job_id, group, auto_finalize=options.auto_finalize, auto_dismiss=options.auto_dismiss
        )
        self._options: Final = options
        self._target: Final = target
        self._guard: Final = guard
        self._bitmap: Final = bitmap
        self._copy: Final[BlockCopy] = guard.copy
        self._call: BlockCopyCall | None = None
        self._idle_wakeup: asyncio.Event | None = None
        """Set to end the wait of a job that has nothing to do."""
        self._is_held_by_error = False
        """Whether the job stands still after a failure, and begins another pass when it is let go."""
        self._target_gave_up = False
        """Whether requests to the target failed because the job was cancelled, which clients are told of."""
        self._is_old: Final = release.current() < release.QEMU_7_2
        """Before 6.0 a backup copied one cluster after the other, in its own coroutine."""

    def acquire(self) -> None:
        """Take the nodes and the initial speed, after the job is in the list. Raises BlockError."""
        self.use_node(self._guard.node, "main node", except_operations=frozenset({Operation.DATAPLANE}))
        self.set_speed(self._options.speed)
        self.use_node(self._target, "target")

    def start(self) -> None:
        """Begin. What is to be copied is settled before any guest can write again."""
        if self._bitmap is not None:
            self._bitmap.choose_clusters(self._copy)
        self._copy.skip_unallocated = self._options.sync is SyncMode.TOP
        super().start()

    async def run(self) -> None:
        """Copy what the sync mode wants copied. Returns early when cancelled; raises EngineError when it fails."""
        self._copy.reset_progress()
        if self._options.sync is SyncMode.TOP:
            await self._leave_out_unallocated()
        if self._options.sync is SyncMode.NONE:
            await self._idle()
        else:
            await self._copy_all()

    async def _leave_out_unallocated(self) -> None:
        """Look through the source's own layer once; until that is done, a guest's write looks for itself."""
        offset = looks = 0
        while offset < self._copy.size:
            await self.pause_point()
            if self.is_cancelled:
                return
            offset += await self._copy.leave_out_unallocated(offset)
            looks += 1
            if not looks % SCANS_AT_A_STRETCH:
                await asyncio.sleep(0)
        self._copy.skip_unallocated = False

    async def _idle(self) -> None:
        """Leave everything to the filter until the job is cancelled."""
        self._idle_wakeup = asyncio.Event()
        while not self.is_cancelled:
            self._idle_wakeup.clear()
            await self._idle_wakeup.wait()
            await self.pause_point()

    async def _copy_all(self) -> None:
        """Pass over the disk until nothing is left to copy, an error is reported or the job is cancelled."""
        last, copied_before = None, 0
        while not (self.is_cancelled and self._is_old):
            failure = await self._pass()
            if failure is None or (self.is_cancelled and not (self._target_gave_up or self._is_old)):
                break
            last, copied_before = failure, self.current_progress
            policy = self._options.on_source_error if failure.is_read else self._options.on_target_error
            action = self.handle_failure(policy, failure)
            if self._target_gave_up:
                break
            if action is ErrorAction.REPORT:
                raise failure.error
            # An error that is ignored comes back at once, perhaps for ever: everybody else needs a turn in between.
            await asyncio.sleep(0)
            self._is_held_by_error = True
            await self.pause_point()
            self._is_held_by_error = False
        if self._is_old and last is not None and self.is_cancelled and self.current_progress == copied_before:
            # Before 6.0 a cancelled job told of the error that it had met last, unless a cluster was copied since.
            raise last.error

    async def _pass(self) -> CopyFailure | None:
        """Copy what is marked, standing still whenever a pause is wanted; the failure that ended the pass, if any.

        What fails while a pass is interrupted is not reported: it is still marked, and the next pass meets it again.
        Before 6.0 it was: a job copied by itself, and told of whatever failed.
        """
        while True:
            self._call = call = BlockCopyCall(
                self._copy,
                0,
                self._copy.size,
                max_workers=1 if self._is_old else self._options.max_workers,
                max_chunk=self._copy.cluster_size if self._is_old else self._options.max_chunk,
                paces_as_before_6_0=self._is_old,
            )
            if self.is_cancelled:
                # A job that is cancelled while an error holds it looks up only when all workers have begun once more.
                asyncio.get_running_loop().call_soon(call.cancel)
            try:
                failure = await call.run()
            finally:
                self._call = None
            if not call.is_cancelled or self._target_gave_up or (self._is_old and failure is not None):
                return failure
            await self.pause_point()
            if self.is_cancelled:
                return None

    def request_cancel(self) -> None:
        """A target that waits for something to come back waits no longer; before 6.0 it did."""
        if not self._is_old:
            # A pass that sleeps does not see what failed before it is cancelled itself.
            is_asleep = self._call is not None and self._call.is_sleeping
            # A group may ask twice, and the second time nothing is in flight any more.
            if self._target.driver.cancel_in_flight() and not is_asleep:
                self._target_gave_up = True
        super().request_cancel()

    def interrupt(self) -> None:
        """End the pass as soon as what is in flight has ended; before 6.0 a pause did not wake a sleeping job."""
        wake = self.is_cancelled or not self._is_old
        if self._call is not None:
            self._call.cancel(wake=wake)
        if self._idle_wakeup is not None and wake:
            self._idle_wakeup.set()

    def speed_changed(self) -> None:
        """Obey at once."""
        self._copy.rate_limit.set_speed(self.speed)
        if self._call is not None:
            self._call.kick()

    @property
    def ends_at_once(self) -> bool:
        """Whether there is nothing to copy, so that the job is over before the reply to the command that made it."""
        waits = self._options.sync in (SyncMode.TOP, SyncMode.NONE)
        return not self._is_old and not waits and not self._copy.bitmap.count

    def commit(self) -> None:
        """The bitmap is settled when the job is finalized, not before."""
        if self._bitmap is not None:
            self._bitmap.settle(succeeded=True, copy=self._copy)

    def abort(self) -> None:
        """Likewise, for a job that failed, was cancelled or never started."""
        if self._bitmap is not None:
            if self._is_old and not self.is_started:
                # Before 6.0 nothing was marked until the job ran, and so nothing was owed.
                self._copy.bitmap.clear_all()
            self._bitmap.settle(succeeded=False, copy=self._copy)

    async def clean(self) -> None:
        """Remove the filter and let source and target go; a target that nobody else uses is closed."""
        await self.release_nodes()
        await self._guard.drop()
        if self._bitmap is not None:
            self._bitmap.settle_in_flight(self._copy)

    @property
    def is_busy(self) -> bool:
        """An interrupted pass that still has chunks in flight; otherwise the job only waits for its workers.

        Before 6.0 the job copied by itself, and was busy unless it slept.
        """
        if self._call is None:
            return False
        return not self._call.is_sleeping if self._is_old else self._call.is_cancelled

    @property
    def is_quiet(self) -> bool:
        return super().is_quiet or (self._is_old and self._is_sleeping)

    @property
    def _is_sleeping(self) -> bool:
        """Whether nothing happens until the speed limit allows it, or until the job is cancelled."""
        return self._call.is_sleeping if self._call is not None else self._idle_wakeup is not None

    @property
    def settles_before_the_reply(self) -> bool:
        return not self._is_old and not self._has_requests_in_flight and not self._is_held_by_error

    @property
    def _has_requests_in_flight(self) -> bool:
        """Whether chunks, or guest requests that the end of the job has to wait for, are under way."""
        return (self._call is not None and self._call.is_copying) or self._guard.node.in_flight > 0

    @property
    def current_progress(self) -> int:
        return self._copy.progress.current

    @property
    def total_progress(self) -> int:
        return self._copy.progress.total
