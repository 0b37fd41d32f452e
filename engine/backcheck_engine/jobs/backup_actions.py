"""The actions `drive-backup` and `blockdev-backup`: find or make the target, then create the job, in QEMU's order.

A target that `drive-backup` has created stays where it is, whatever fails afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.blockers import Operation
from backcheck_engine.jobs.backup_creation import create_backup_job
from backcheck_engine.jobs.backup_options import BackupOptions, SyncMode
from backcheck_engine.jobs.backup_target import DriveTarget, layer_below, open_target
from backcheck_engine.jobs.transaction import Action

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.jobs.backup import BackupJob
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.jobs.job_list import JobList


class BackupAction(Action):
    """What both have in common: the source is drained from its lookup to the end of the transaction."""

    makes_job = True

    def __init__(self, graph: Graph, jobs: JobList, device: str, options: BackupOptions) -> None:
        self._graph: Final = graph
        self._jobs: Final = jobs
        self._device: Final = device
        self._options = options
        self._drained: Final = AsyncExitStack()
        self._job: BackupJob | None = None

    async def _create_job(self, group: JobGroup, source: Node, target: Node) -> None:
        self._job = await create_backup_job(self._graph, self._jobs, group, self._options, source, target)

    async def commit(self) -> None:
        assert self._job is not None
        self._job.start()

    async def abort(self) -> None:
        """A job that never started is aborted, together with its group."""
        if self._job is not None and not self._job.is_concluded.is_set():
            self._job.request_cancel()
            self._job.settle_error()
            await self._job.group.abort(self._job)

    async def settled(self) -> None:
        """For who runs this action alone: return when the job is over, or pending, if it had nothing to do."""
        assert self._job is not None
        if self._job.ends_at_once:
            await self._job.run_is_over.wait()
            # Whoever comes after the job's own completion has seen all of it.
            async with self._jobs.completing:
                pass

    async def clean(self) -> None:
        await self._drained.aclose()


class BlockdevBackupAction(BackupAction):
    """Back up to a node that is there."""

    name = "blockdev-backup"

    def __init__(self, graph: Graph, jobs: JobList, device: str, target: str, options: BackupOptions) -> None:
        super().__init__(graph, jobs, device, options)
        self._target: Final = target

    async def prepare(self, group: JobGroup) -> None:
        source = self._graph.find_device_or_node(self._device)
        target = self._graph.find_device_or_node(self._target)
        await self._drained.enter_async_context(source.drained())
        await self._create_job(group, source, target)


class DriveBackupAction(BackupAction):
    """Back up to a file, which is created first unless it exists."""

    name = "drive-backup"

    def __init__(
        self,
        graph: Graph,
        jobs: JobList,
        device: str,
        target: DriveTarget,
        options: BackupOptions,
        *,
        write_stdout: Callable[[str], None],
    ) -> None:
        super().__init__(graph, jobs, device, options)
        self._target: Final = target
        self._write_stdout: Final = write_stdout

    async def prepare(self, group: JobGroup) -> None:
        source = self._graph.find_device_or_node(self._device)
        await self._drained.enter_async_context(source.drained())
        source.blockers.check(Operation.BACKUP_SOURCE, source.device_or_node_name)
        if self._options.sync is SyncMode.TOP and layer_below(source) is None:
            # Without a layer below, the top layer is all there is; only `drive-backup` sees it so.
            self._options = replace(self._options, sync=SyncMode.FULL)
        target = await open_target(self._graph, source, self._target, self._options.sync, self._say)
        try:
            await self._create_job(group, source, target)
        finally:
            # The job, if there is one, holds a reference of its own.
            await target.unref()

    def _say(self, line: str) -> None:
        self._write_stdout(f"{line}\n")
