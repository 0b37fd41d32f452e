"""Making a backup job: everything that is checked before it, in QEMU's order, and what a refusal takes back."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.block.blockers import Operation
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.jobs.backup import BackupJob
from backcheck_engine.jobs.backup_bitmap import choose_bitmap

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.drivers.filter.copy_before_write import CopyBeforeWriteDriver
    from backcheck_engine.jobs.backup_bitmap import SyncBitmap
    from backcheck_engine.jobs.backup_options import BackupOptions
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.jobs.job_list import JobList

MAX_WORKERS: Final = 2**31 - 1
MAX_CLUSTER_SIZE: Final = 2**63 - 1


async def create_backup_job(
    graph: Graph, jobs: JobList, group: JobGroup, options: BackupOptions, source: Node, target: Node
) -> BackupJob:
    """A job ready to start, its filter in place. `source` must be drained.

    Raises EngineError for the first thing that QEMU would refuse; nothing is left of the attempt then.
    """
    if source.iothread != target.iothread:
        from backcheck_engine.block.iothread import move

        move(target, source.iothread)
    bitmap = choose_bitmap(options, source)
    _check_nodes(options, source, target)
    _check_performance(options)
    async with AsyncExitStack() as taken:
        if bitmap is not None:
            bitmap.freeze()
            taken.callback(bitmap.thaw)
        _check_sizes(options, source, target)
        guard = await _insert_guard(graph, options, source, target)
        taken.push_async_callback(guard.drop)
        if options.max_chunk and options.max_chunk < guard.copy.cluster_size:
            raise BlockError(
                f"Required max-chunk ({options.max_chunk}) is less than backup cluster size ({guard.copy.cluster_size})"
            )
        guard.copy.compress = options.compress
        guard.copy.asks_kernel = _asks_kernel(options)
        job = await _make_job(graph, jobs, group, options, source, target, guard, bitmap)
        taken.pop_all()
    return job


def _asks_kernel(options: BackupOptions) -> bool:
    """Whether the host's kernel is asked to copy: before 6.0 always, later when that is wished."""
    return release.current() < release.QEMU_7_2 if options.use_copy_range is None else options.use_copy_range


async def _make_job(
    graph: Graph,
    jobs: JobList,
    group: JobGroup,
    options: BackupOptions,
    source: Node,
    target: Node,
    guard: CopyBeforeWriteDriver,
    bitmap: SyncBitmap | None,
) -> BackupJob:
    """The job with its nodes and its speed; one that cannot have them comes and goes before clients' eyes."""
    job_id = options.job_id if options.job_id is not None else graph.device_name_of(guard.node)
    job = BackupJob(graph, jobs, group, options, job_id=job_id, target=target, guard=guard, bitmap=bitmap)
    try:
        job.acquire()
    except EngineError:
        jobs.discard_unstarted(job)
        await job.release_nodes()
        raise
    return job


def _check_nodes(options: BackupOptions, source: Node, target: Node) -> None:
    if source is target:
        raise BlockError("Source and target cannot be the same")
    if options.compress and not _takes_compressed_writes(target):
        raise BlockError(f"Compression is not supported for this drive {target.graph.device_name_of(target)}")
    source.blockers.check(Operation.BACKUP_SOURCE, source.device_or_node_name)
    target.blockers.check(Operation.BACKUP_TARGET, target.device_or_node_name)


def _takes_compressed_writes(node: Node) -> bool:
    """Whether the node's driver does, and each one that it passes writes on to."""
    while node.driver.supports_compressed_writes:
        if not node.is_filter or node.filtered is None:
            return True
        node = node.filtered
    return False


def _check_performance(options: BackupOptions) -> None:
    if not 1 <= options.max_workers <= MAX_WORKERS:
        raise BlockError(f"max-workers must be between 1 and {MAX_WORKERS}")
    if options.max_chunk < 0:
        raise BlockError("max-chunk must be zero (which means no limit) or positive")


def _check_sizes(options: BackupOptions, source: Node, target: Node) -> None:
    if source.size != target.size:
        raise BlockError("Source and target image have different sizes")
    if options.min_cluster_size > MAX_CLUSTER_SIZE:
        raise BlockError(f"min-cluster-size too large: {options.min_cluster_size} > {MAX_CLUSTER_SIZE}")


async def _insert_guard(graph: Graph, options: BackupOptions, source: Node, target: Node) -> CopyBeforeWriteDriver:
    """The copy-before-write filter, above `source` in place of it."""
    from backcheck_engine.drivers.filter.backup_filter import insert_filter

    return await insert_filter(
        graph,
        source,
        target,
        node_name=options.filter_node_name,
        min_cluster_size=options.min_cluster_size,
        discard_source=options.discard_source,
        breaks_snapshot=options.breaks_snapshot,
    )
