"""A job: its state, its pauses, and the task that does its work.

What a job does is its subclass's `run`; what happens when `run` is over, alone or together with the other jobs of its
group, is in `group.py`. States change synchronously, at the moment their reason appears, so that the order of events is
made and not timed: a job that is resumed is running before `resume` returns.
"""

# ruff: noqa: B027 - the hooks that a kind of job may leave empty are empty here.

from __future__ import annotations

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.jobs.states import PAUSED_FORM, TRANSITIONS, VERBS, JobStatus, Verb
from backcheck_engine.tracing import JOB_APPLY_VERB, JOB_COMPLETED, JOB_STATE_TRANSITION

if TYPE_CHECKING:
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.jobs.job_list import JobList
    from backcheck_engine.json_value import JsonObject

_WORKING_FORM: Final = {paused: working for working, paused in PAUSED_FORM.items()}


class Job(ABC):
    """One job, from `created` to `null`. It begins paused once: `start` takes that pause back."""

    job_type: ClassVar[str]

    def __init__(
        self, jobs: JobList, job_id: str, group: JobGroup, *, auto_finalize: bool = True, auto_dismiss: bool = True
    ) -> None:
        """Enter the list of jobs. Raises BlockError when the id is ill-formed or taken."""
        jobs.check_id(job_id)
        self.jobs: Final = jobs
        self.id: Final = job_id
        self.group: Final = group
        self.auto_finalize: Final = auto_finalize
        self.auto_dismiss: Final = auto_dismiss
        self.status = JobStatus.UNDEFINED
        self.error: EngineError | None = None
        """Why the job failed or will fail."""
        self.pause_count = 1
        self.is_user_paused = False
        self.is_cancelled = False
        self.is_started = False
        self.run_is_over = asyncio.Event()
        """Set when the work has ended, well or not; what is left is to finalize."""
        self.is_concluded = asyncio.Event()
        self._unparked = asyncio.Event()
        self._parked = asyncio.Event()
        """Set while the work stands still at a pause point."""
        self._task: asyncio.Task[None] | None = None
        jobs.add(self)
        group.add(self)
        self.set_status(JobStatus.CREATED)

    # What a kind of job fills in.

    @abstractmethod
    async def run(self) -> None:
        """Do the work. Returns early when cancelled; raises EngineError when it fails."""

    def interrupt(self) -> None:
        """A pause or a cancellation is wanted: get to the next pause point soon."""

    async def prepare(self) -> None:
        """Last chance to fail, when all jobs of the group have done their work. Raises EngineError."""

    def commit(self) -> None:
        """The job has succeeded."""

    def abort(self) -> None:
        """The job has failed or was cancelled."""

    async def clean(self) -> None:
        """Let go of everything, after `commit` or `abort`."""

    def user_resumed(self) -> None:
        """A client ended its pause, or cancelled the paused job."""

    def announce_pending(self) -> None:
        """The job waits for `finalize`."""

    def announce_end(self) -> None:
        """The job, which had been started, is about to be concluded."""

    @property
    @abstractmethod
    def current_progress(self) -> int:
        """What is done, in a unit of the job's own."""

    @property
    @abstractmethod
    def total_progress(self) -> int:
        """What there is to do altogether."""

    # State.

    def set_status(self, status: JobStatus) -> None:
        """Go to `status`, and tell clients unless it is the one they know."""
        if status not in TRANSITIONS[self.status]:
            raise AssertionError(f"job {self.id}: {self.status} -> {status}")
        if JOB_STATE_TRANSITION.is_on:
            error = -self.error.errno if isinstance(self.error, BlockError) else 0
            JOB_STATE_TRANSITION(self, error, self.status.value, status.value)
        changed = status is not self.status
        self.status = status
        if changed:
            self.jobs.emit("JOB_STATUS_CHANGE", {"status": status.value, "id": self.id})

    def check_verb(self, verb: Verb) -> None:
        """Raise BlockError unless the job takes `verb` in its state."""
        is_allowed = self.status in VERBS[verb]
        if JOB_APPLY_VERB.is_on:
            JOB_APPLY_VERB(self, self.status.value, verb.value, "allowed" if is_allowed else "prohibited")
        if not is_allowed:
            raise BlockError(
                f"Job '{self.id}' in state '{self.status.value}' cannot accept command verb '{verb.value}'",
                errno.EPERM,
            )

    def settle_error(self) -> None:
        """After the work: a cancelled job has failed with ECANCELED, and a failed one is aborting."""
        if self.is_cancelled and self.error is None:
            self.error = BlockError(os.strerror(errno.ECANCELED), errno.ECANCELED)
        if self.error is not None:
            self.set_status(JobStatus.ABORTING)

    # Work.

    def start(self) -> None:
        """Begin; the job is running, or paused if somebody wants that, when this returns."""
        self.is_started = True
        self.set_status(JobStatus.RUNNING)
        self.pause_count -= 1
        if self.pause_count:
            self._park()
        self._task = asyncio.create_task(self._live(), name=f"job {self.id}")
        self._task.add_done_callback(_report_bug)

    async def _live(self) -> None:
        """The job's task: work, then completion together with the group."""
        if self._parked.is_set():
            await self._unparked.wait()
        await self.pause_point()
        if not self.is_cancelled:
            try:
                await self.run()
            except EngineError as error:
                self.error = error
        if JOB_COMPLETED.is_on:
            JOB_COMPLETED(self, -self.error.errno if isinstance(self.error, BlockError) else 0)
        self.run_is_over.set()
        self.drain_kick()
        await self.jobs.complete(self)

    async def pause_point(self) -> None:
        """Stand still here while a pause is wanted. For `run`, when nothing is in flight."""
        while self.pause_count and not self.is_cancelled:
            self._park()
            await self._unparked.wait()

    def _park(self) -> None:
        self.set_status(PAUSED_FORM[self.status])
        self._unparked.clear()
        self._parked.set()
        self.drain_kick()

    def _unpark(self) -> None:
        if self._parked.is_set():
            self._parked.clear()
            self._unparked.set()
            self.set_status(_WORKING_FORM[self.status])

    def drain_kick(self) -> None:
        """The job has become quiet: those who drain may want to know."""

    @property
    def is_quiet(self) -> bool:
        """Whether the job makes no requests until it is resumed or finalized."""
        return not self.is_started or self._parked.is_set() or self.run_is_over.is_set()

    @property
    def is_paused(self) -> bool:
        """Whether somebody wants the job to stand still, whether or not it has got there."""
        return self.pause_count > 0

    # Verbs. Each raises BlockError in QEMU's words when the job does not take it now.

    def pause(self) -> None:
        """Stand still from the next pause point on, until `resume` was called as often."""
        self.pause_count += 1
        if not self._parked.is_set() and self.is_started:
            self.interrupt()

    def resume(self) -> None:
        """Undo one `pause`."""
        self.pause_count -= 1
        if not self.pause_count:
            self._unpark()

    def user_pause(self) -> None:
        """`job-pause`."""
        self.check_verb(Verb.PAUSE)
        if self.is_user_paused:
            raise BlockError("Job is already paused")
        self.is_user_paused = True
        self.pause()

    def user_resume(self) -> None:
        """`job-resume`."""
        if not self.is_user_paused or not self.pause_count:
            raise BlockError("Can't resume a job that was not paused")
        self.check_verb(Verb.RESUME)
        self.is_user_paused = False
        self.user_resumed()
        self.resume()

    def request_cancel(self) -> None:
        """Have the job end as cancelled as soon as what is in flight has ended."""
        if self.is_user_paused:
            self.is_user_paused = False
            self.user_resumed()
            self.pause_count -= 1
        self.is_cancelled = True
        self._unpark()
        self.interrupt()

    def complete(self) -> None:
        """`job-complete`: for jobs that become ready, which none here does."""
        self.check_verb(Verb.COMPLETE)
        raise BlockError(f"The active block job '{self.id}' cannot be completed")

    async def wait_until_parked(self) -> None:
        """Wait until the job stands still, or its work is over."""
        parked = asyncio.ensure_future(self._parked.wait())
        over = asyncio.ensure_future(self.run_is_over.wait())
        _, pending = await asyncio.wait({parked, over}, return_when=asyncio.FIRST_COMPLETED)
        for waiter in pending:
            waiter.cancel()

    @property
    def settles_before_the_reply(self) -> bool:
        """Whether a verb's reply waits for what the verb causes: nothing is in flight that would keep it waiting."""
        return True

    def describe_progress(self) -> JsonObject:
        """The job's element of `query-jobs`."""
        element: JsonObject = {
            "current-progress": self.current_progress,
            "status": self.status.value,
            "total-progress": self.total_progress,
            "type": self.job_type,
            "id": self.id,
        }
        if self.error is not None:
            element["error"] = str(self.error)
        return element


def _report_bug(task: asyncio.Task[None]) -> None:
    """Hand what a job's task raised, which can only be a bug, to whoever watches over the loop."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": f"{task.get_name()} died", "exception": error})
