"""All jobs of the machine: finding them, what verbs do to them, and the lock under which they end.

A verb that may end a job takes the lock `completing`; so does a job whose work is over, and the start of jobs. What
happens to jobs is therefore one thing after the other, as it is in QEMU's main loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from backcheck_engine.errors import BlockError
from backcheck_engine.identifier import is_identifier
from backcheck_engine.jobs.states import JobStatus, Verb

if TYPE_CHECKING:
    from backcheck_engine.jobs.job import Job
    from backcheck_engine.json_value import JsonObject

Emit: TypeAlias = "Callable[[str, JsonObject | None], None]"


class JobList:
    """The jobs, newest first."""

    def __init__(self, emit: Emit) -> None:
        self.emit: Final = emit
        self.completing: Final = asyncio.Lock()
        self._jobs: list[Job] = []

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs))

    def find(self, job_id: str) -> Job | None:
        """The job of that id, or None."""
        return next((job for job in self._jobs if job.id == job_id), None)

    def check_id(self, job_id: str) -> None:
        """Raise BlockError in QEMU's words unless a new job may be called that."""
        if not is_identifier(job_id):
            raise BlockError(f"Invalid job ID '{job_id}'")
        if self.find(job_id) is not None:
            raise BlockError(f"Job ID '{job_id}' already in use")

    def add(self, job: Job) -> None:
        """Take a new job in; its constructor does this."""
        self._jobs.insert(0, job)

    def discard_unstarted(self, job: Job) -> None:
        """Take a job back whose creation failed half-way: clients see it come and go."""
        job.group.remove(job)
        self._remove(job)

    def conclude(self, job: Job) -> None:
        """The job is over; it stays in the list only for a client who wants to dismiss it by hand."""
        job.set_status(JobStatus.CONCLUDED)
        job.is_concluded.set()
        if job.auto_dismiss or not job.is_started:
            self._remove(job)

    async def complete(self, job: Job) -> None:
        """Called by the job's task when its work has ended."""
        async with self.completing:
            # The job may have been ended meanwhile, by an abort of its group.
            if not job.is_concluded.is_set():
                await job.group.work_is_done(job)

    async def cancel(self, job: Job) -> None:
        """`job-cancel`. Returns at once while requests of the job are in flight, else when the job is concluded."""
        job.check_verb(Verb.CANCEL)
        await self._cancel(job)
        if job.settles_before_the_reply:
            await job.is_concluded.wait()

    async def pause(self, job: Job) -> None:
        """`job-pause`. Returns at once while requests of the job are in flight, else when the job stands still."""
        job.user_pause()
        if job.is_started and job.settles_before_the_reply:
            await job.wait_until_parked()

    async def finalize(self, job: Job) -> None:
        """`job-finalize`: end the whole group of a pending job. Raises BlockError in any other state."""
        async with self.completing:
            job.check_verb(Verb.FINALIZE)
            await job.group.finalize()

    def dismiss(self, job: Job) -> None:
        """`job-dismiss`: forget a concluded job. Raises BlockError in any other state."""
        job.check_verb(Verb.DISMISS)
        self._remove(job)

    async def cancel_all(self) -> None:
        """For shutdown: cancel every job and wait for it to end; concluded ones are forgotten."""
        while self._jobs:
            job = self._jobs[0]
            if job.status is JobStatus.CONCLUDED:
                self._remove(job)
                continue
            await self._cancel(job)
            await job.is_concluded.wait()
            if job in self._jobs:
                self._remove(job)

    async def _cancel(self, job: Job) -> None:
        if job.is_started and not job.run_is_over.is_set():
            job.request_cancel()
            return
        async with self.completing:
            if job.is_concluded.is_set():
                return
            job.request_cancel()
            if not job.is_started:
                job.settle_error()
            await job.group.abort(job)

    def _remove(self, job: Job) -> None:
        self._jobs.remove(job)
        job.set_status(JobStatus.NULL)
