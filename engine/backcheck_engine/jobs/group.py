"""Jobs that end together: a group finishes its work, is finalized, or is aborted as one.

A job that is alone is a group of one. All of this runs with `JobList.completing` held, so that only one group at a time
is on its way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        """`culprit` has failed or was cancelled: cancel the others, wait for their work to end, and end them all."""
        if self._is_aborting:
            return
        self._is_aborting = True
        members = list(self.jobs)
        for member in members:
            if member is not culprit:
                member.request_cancel()
        for member in members:
            if member is not culprit and member.is_started:
                await member.run_is_over.wait()
            await _finish(member)


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
