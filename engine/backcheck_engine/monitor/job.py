"""The verbs of jobs, in both families: `job-*` for any job, `block-job-*` for jobs that work on nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.errors import BlockError, QmpError
from backcheck_engine.jobs.block_job import BlockJob
from backcheck_engine.monitor.registry import NoArguments, command, tree_command

if TYPE_CHECKING:
    from backcheck_engine.jobs.job import Job
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.monitor.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class JobId:
    """The job meant."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDevice:
    """The job meant, by the name that older commands use."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockJobCancel:
    """Arguments of block-job-cancel."""

    device: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockJobSetSpeed:
    """Arguments of block-job-set-speed; the speed in bytes a second."""

    device: str
    speed: int


def find_job(context: Context, job_id: str) -> Job:
    """The job of that id. Raises QmpError in QEMU's words."""
    job = context.jobs.find(job_id)
    if job is None:
        raise QmpError.generic("Job not found")
    return job


def find_block_job(context: Context, job_id: str) -> BlockJob:
    """The block job of that id. Raises QmpError in QEMU's words, also for a job of another kind."""
    job = context.jobs.find(job_id)
    if not isinstance(job, BlockJob):
        raise QmpError("DeviceNotActive", f"Block job '{job_id}' not found")
    return job


@command("query-jobs", NoArguments)
async def query_jobs(context: Context, arguments: NoArguments) -> JsonValue:
    """All jobs, newest first."""
    return [job.describe_progress() for job in context.jobs]


@command("query-block-jobs", NoArguments)
async def query_block_jobs(context: Context, arguments: NoArguments) -> JsonValue:
    """All block jobs, newest first."""
    return [job.describe_block_job() for job in context.jobs if isinstance(job, BlockJob)]


@command("job-pause", JobId)
async def job_pause(context: Context, arguments: JobId) -> JsonValue:
    """Pause a job."""
    await context.jobs.pause(find_job(context, arguments.id))
    return {}


@command("job-resume", JobId)
async def job_resume(context: Context, arguments: JobId) -> JsonValue:
    """Resume a job that a client paused."""
    find_job(context, arguments.id).user_resume()
    return {}


@command("job-cancel", JobId)
async def job_cancel(context: Context, arguments: JobId) -> JsonValue:
    """Cancel a job, also a paused one."""
    await context.jobs.cancel(find_job(context, arguments.id))
    return {}


@command("job-complete", JobId)
async def job_complete(context: Context, arguments: JobId) -> JsonValue:
    """Complete a job that is ready."""
    find_job(context, arguments.id).complete()
    return {}


@command("job-finalize", JobId)
async def job_finalize(context: Context, arguments: JobId) -> JsonValue:
    """Finalize a pending job and its group."""
    await context.jobs.finalize(find_job(context, arguments.id))
    return {}


@command("job-dismiss", JobId)
async def job_dismiss(context: Context, arguments: JobId) -> JsonValue:
    """Forget a concluded job."""
    context.jobs.dismiss(find_job(context, arguments.id))
    return {}


@command("block-job-pause", JobDevice)
async def block_job_pause(context: Context, arguments: JobDevice) -> JsonValue:
    """Pause a block job."""
    await context.jobs.pause(find_block_job(context, arguments.device))
    return {}


@command("block-job-resume", JobDevice)
async def block_job_resume(context: Context, arguments: JobDevice) -> JsonValue:
    """Resume a block job that a client paused."""
    find_block_job(context, arguments.device).user_resume()
    return {}


@command("block-job-cancel", BlockJobCancel)
async def block_job_cancel(context: Context, arguments: BlockJobCancel) -> JsonValue:
    """Cancel a block job; a paused one only with `force`."""
    job = find_block_job(context, arguments.device)
    if job.is_user_paused and not arguments.force:
        raise BlockError(f"The block job for device '{arguments.device}' is currently paused")
    await context.jobs.cancel(job)
    return {}


@command("block-job-complete", JobDevice)
async def block_job_complete(context: Context, arguments: JobDevice) -> JsonValue:
    """Complete a block job that is ready."""
    find_block_job(context, arguments.device).complete()
    return {}


@command("block-job-set-speed", BlockJobSetSpeed)
async def block_job_set_speed(context: Context, arguments: BlockJobSetSpeed) -> JsonValue:
    """Limit the speed of a block job."""
    find_block_job(context, arguments.device).set_speed(arguments.speed)
    return {}


@command("block-job-finalize", JobId)
async def block_job_finalize(context: Context, arguments: JobId) -> JsonValue:
    """Finalize a pending block job and its group."""
    await context.jobs.finalize(find_block_job(context, arguments.id))
    return {}


@command("block-job-dismiss", JobId)
async def block_job_dismiss(context: Context, arguments: JobId) -> JsonValue:
    """Forget a concluded block job."""
    context.jobs.dismiss(find_block_job(context, arguments.id))
    return {}


@tree_command("block-job-change")
async def block_job_change(context: Context, arguments: JsonObject) -> JsonValue:
    """Change an option of a running block job."""
    find_block_job(context, str(arguments["id"])).change()
    return {}
