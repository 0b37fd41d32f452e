"""Jobs that end together: a group finishes its work, is finalized, or is aborted as one.

A job that is alone is a group of one. All of this runs with `JobList.completing` held, so that only one group at a time
is on its way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.errors import EngineError
from backcheck_engine.jobs.states import JobStatus

if TYPE_CHECKING:
    from backcheck_engine.jobs.job import Job


class JobGroup:
    """One or more jobs with one fate, newest first."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._is_aborting = False

    def add(self, job: Job) -> None:
        """Take a new job in."""
        self.jobs.insert(0, job)

    def remove(self, job: Job) -> None:
        """Forget a job that never was, or that is concluded."""
        if job in self.jobs:
            self.jobs.remove(job)

    async def work_is_done(self, job: Job) -> None:
        """The work of `job` has ended, well or not."""
        job.settle_error()
        if job.error is not None:
            await self.abort(job)
            return
        job.set_status(JobStatus.WAITING)
        if all(member.status is JobStatus.WAITING for member in self.jobs):
            await self._become_pending()

    async def _become_pending(self) -> None:
        """All have done their work: finalize now, or wait for a client to say so."""
        members = list(self.jobs)
        for member in members:
            member.set_status(JobStatus.PENDING)
            if not member.auto_finalize:
                member.announce_pending()
        if all(member.auto_finalize for member in members):
            await self.finalize()

    async def finalize(self) -> None:
        """End the jobs well, unless the last preparation of one fails: then all of them fail."""
        members = list(self.jobs)
        for member in members:
            try:
                await member.prepare()
            except EngineError as error:
                member.error = error
                await self.abort(member)
                return
        for member in members:
            await _finish(member)

    async def abort(self, culprit: Job) -> None:
        """`culprit` has failed or was cancelled: cancel the others, wait for their work to end, and end them all.

        Until 7.2 each of the others stops when its turn comes; in 10.0 all have stopped before the first is ended.
        """
        if self._is_aborting:
            return
        self._is_aborting = True
        members = list(self.jobs)
        others = [member for member in members if member is not culprit]
        stop_together = release.current() > release.QEMU_7_2
        for member in others:
            member.is_cancelled = True
            if stop_together:
                member.request_cancel()
        for member in members:
            if member is not culprit:
                await _stop(member)
            member.settle_error()
            if stop_together:
                for other in others:
                    await _stop(other)
            await _finish(member)


async def _stop(job: Job) -> None:
    """Cancel a job for the sake of another; one that is still at work is waited for."""
    if job.is_started and not job.run_is_over.is_set():
        job.request_cancel()
        await job.run_is_over.wait()
        job.settle_error()


async def _finish(job: Job) -> None:
    """Commit or abort one job, release what it holds, announce its end and conclude it."""
    job.settle_error()
    if job.error is None:
        job.commit()
    else:
        job.abort()
    await job.clean()
    if job.is_started:
        job.announce_end()
    job.group.remove(job)
    job.jobs.conclude(job)
