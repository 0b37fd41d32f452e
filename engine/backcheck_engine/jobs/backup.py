"""The backup job: copies its source as it was at the start, while the filter above the source guards that moment."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.backend import ErrorAction, OnError
from backcheck_engine.block.block_copy import BlockCopy, CopyFailure
from backcheck_engine.block.block_copy_call import BlockCopyCall
from backcheck_engine.block.blockers import Operation
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.jobs.block_job import BlockJob

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.filter.copy_before_write import CopyBeforeWriteDriver
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.jobs.job_list import JobList

MAX_WORKERS: Final = 2**31 - 1
MAX_CLUSTER_SIZE: Final = 2**63 - 1


class SyncMode(Enum):
    """MirrorSyncMode, as far as backups have it."""

    TOP = "top"
    FULL = "full"
    NONE = "none"
    INCREMENTAL = "incremental"
    BITMAP = "bitmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """BackupCommon: what `drive-backup` and `blockdev-backup` share. Sizes and speed are in bytes."""

    sync: SyncMode
    job_id: str | None = None
    """Without one, the id of the device whose root the source is."""
    speed: int = 0
    bitmap: str | None = None
    bitmap_mode: str | None = None
    compress: bool = False
    on_source_error: OnError = OnError.REPORT
    on_target_error: OnError = OnError.REPORT
    auto_finalize: bool = True
    auto_dismiss: bool = True
    filter_node_name: str | None = None
    discard_source: bool = False
    breaks_snapshot: bool = False
    """on-cbw-error=break-snapshot: rather give up the copy than fail a guest's write."""
    max_workers: int = 64
    max_chunk: int = 0
    min_cluster_size: int = 0


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
    ) -> None:
        super().__init__(
            graph, jobs, job_id, group, auto_finalize=options.auto_finalize, auto_dismiss=options.auto_dismiss
        )
        self._options: Final = options
        self._target: Final = target
        self._guard: Final = guard
        self._copy: Final[BlockCopy] = guard.copy
        self._call: BlockCopyCall | None = None
        self._is_old: Final = release.current() < release.QEMU_7_2
        """Before 6.0 a backup copied one cluster after the other, in its own coroutine."""

    def acquire(self) -> None:
        """Take the nodes and the initial speed, after the job is in the list. Raises BlockError."""
        self.use_node(self._guard.node, "main node", except_operations=frozenset({Operation.DATAPLANE}))
        self.set_speed(self._options.speed)
        self.use_node(self._target, "target")

    async def run(self) -> None:
        """Pass over the disk until nothing is left to copy, an error is reported or the job is cancelled."""
        self._copy.reset_progress()
        while not self.is_cancelled:
            failure = await self._pass()
            if failure is None:
                return
            policy = self._options.on_source_error if failure.is_read else self._options.on_target_error
            if self.handle_failure(policy, failure) is ErrorAction.REPORT:
                raise failure.error
            # An error that is ignored comes back at once, perhaps for ever: everybody else needs a turn in between.
            await asyncio.sleep(0)
            await self.pause_point()

    async def _pass(self) -> CopyFailure | None:
        """Copy what is marked, standing still whenever a pause is wanted; the failure that ended the pass, if any.

        What fails while a pass is interrupted is not reported: it is still marked, and the next pass meets it again.
        """
        while not self.is_cancelled:
            self._call = BlockCopyCall(
                self._copy,
                0,
                self._copy.size,
                max_workers=1 if self._is_old else self._options.max_workers,
                max_chunk=self._copy.cluster_size if self._is_old else self._options.max_chunk,
            )
            try:
                failure = await self._call.run()
                interrupted = self._call.is_cancelled
            finally:
                self._call = None
            if not interrupted:
                return failure
            await self.pause_point()
        return None

    def interrupt(self) -> None:
        """End the pass as soon as what is in flight has ended; before 6.0 a pause did not wake a sleeping job."""
        if self._call is not None:
            self._call.cancel(wake=self.is_cancelled or not self._is_old)

    def speed_changed(self) -> None:
        """Obey at once."""
        self._copy.rate_limit.set_speed(self.speed)
        if self._call is not None:
            self._call.kick()

    async def clean(self) -> None:
        """Remove the filter and let source and target go; a target that nobody else uses is closed."""
        await self.release_nodes()
        await self._guard.drop()

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
        return super().is_quiet or (self._is_old and self._call is not None and self._call.is_sleeping)

    @property
    def settles_before_the_reply(self) -> bool:
        return not self._is_old and not self._has_requests_in_flight

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


def refuse_missing_modes(options: BackupOptions) -> None:
    """Raise BlockError for what a well-formed command may ask and this engine does not do."""
    if options.sync is not SyncMode.FULL:
        raise BlockError(f"backcheck-engine does not implement sync={options.sync.value} yet", errno.ENOTSUP)
    if options.bitmap is not None:
        raise BlockError("backcheck-engine does not implement bitmap yet", errno.ENOTSUP)


async def create_backup_job(
    graph: Graph, jobs: JobList, group: JobGroup, options: BackupOptions, source: Node, target: Node
) -> BackupJob:
    """A job ready to start, its filter in place. `source` must be drained. Raises EngineError in QEMU's order."""
    _check_options(options, source, target)
    _check_busy(source, target)
    _check_performance(options)
    if source.size != target.size:
        raise BlockError("Source and target image have different sizes")
    if options.min_cluster_size > MAX_CLUSTER_SIZE:
        raise BlockError(f"min-cluster-size too large: {options.min_cluster_size} > {MAX_CLUSTER_SIZE}")
    job_id = options.job_id if options.job_id is not None else graph.device_name_of(source)
    guard = await _insert_guard(graph, options, source, target)
    try:
        if options.max_chunk and options.max_chunk < guard.copy.cluster_size:
            raise BlockError(
                f"Required max-chunk ({options.max_chunk}) is less than backup cluster size ({guard.copy.cluster_size})"
            )
        guard.copy.compress = options.compress
        job = BackupJob(graph, jobs, group, options, job_id=job_id, target=target, guard=guard)
        try:
            job.acquire()
        except EngineError:
            jobs.discard_unstarted(job)
            await job.release_nodes()
            raise
    except EngineError:
        await guard.drop()
        raise
    return job


def _check_options(options: BackupOptions, source: Node, target: Node) -> None:
    if options.bitmap_mode is not None and options.bitmap is None:
        raise BlockError("Cannot specify bitmap sync mode without a bitmap")
    if source is target:
        raise BlockError("Source and target cannot be the same")
    if options.compress and not target.skip_filters().driver.supports_compressed_writes:
        raise BlockError(f"Compression is not supported for this drive {target.graph.device_name_of(target)}")


def _check_busy(source: Node, target: Node) -> None:
    source.blockers.check(Operation.BACKUP_SOURCE, source.device_or_node_name)
    target.blockers.check(Operation.BACKUP_TARGET, target.device_or_node_name)


def _check_performance(options: BackupOptions) -> None:
    if not 1 <= options.max_workers <= MAX_WORKERS:
        raise BlockError(f"max-workers must be between 1 and {MAX_WORKERS}")
    if options.max_chunk < 0:
        raise BlockError("max-chunk must be zero (which means no limit) or positive")


async def _insert_guard(graph: Graph, options: BackupOptions, source: Node, target: Node) -> CopyBeforeWriteDriver:
    """The copy-before-write filter, above `source` in place of it."""
    from backcheck_engine.drivers.filter.copy_before_write import insert_filter

    return await insert_filter(
        graph,
        source,
        target,
        node_name=options.filter_node_name,
        min_cluster_size=options.min_cluster_size,
        discard_source=options.discard_source,
        breaks_snapshot=options.breaks_snapshot,
    )
