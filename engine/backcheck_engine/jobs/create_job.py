"""The job behind `blockdev-create`: makes an image, and stays concluded until a client dismisses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine.jobs.group import JobGroup
from backcheck_engine.jobs.job import Job

if TYPE_CHECKING:
    from backcheck_engine.jobs.job_list import JobList


class CreateJob(Job):
    """Does one thing, which nobody can pause or cancel half-way."""

    job_type: ClassVar[str] = "create"

    def __init__(self, jobs: JobList, job_id: str, create: Callable[[], Awaitable[None]]) -> None:
        super().__init__(jobs, job_id, JobGroup(), auto_dismiss=False)
        self._create: Final = create
        self._is_done = False

    async def run(self) -> None:
        """Make the image. Raises EngineError."""
        try:
            await self._create()
        finally:
            self._is_done = True

    @property
    def settles_before_the_reply(self) -> bool:
        """It has no point where it could pause: a client is told at once that it wants to, or is to be cancelled."""
        return False

    @property
    def current_progress(self) -> int:
        return int(self._is_done)

    @property
    def total_progress(self) -> int:
        return 1


def start_create_job(jobs: JobList, job_id: str, create: Callable[[], Awaitable[None]]) -> CreateJob:
    """Start a job that calls `create`. Raises BlockError when the id is ill-formed or taken."""
    job = CreateJob(jobs, job_id, create)
    job.start()
    return job
