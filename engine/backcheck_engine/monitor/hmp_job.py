"""Commands of the human monitor about block jobs: those of QMP, asked and told in other words."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from backcheck_engine.json_value import JsonObject
from backcheck_engine.monitor import registry

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.monitor.hmp_line import HmpArguments


async def block_job_cancel(context: Context, arguments: HmpArguments) -> str:
    return await _run(context, "block-job-cancel", arguments, {"force": "force" in arguments.flags})


async def block_job_complete(context: Context, arguments: HmpArguments) -> str:
    return await _run(context, "block-job-complete", arguments, {})


async def block_job_pause(context: Context, arguments: HmpArguments) -> str:
    return await _run(context, "block-job-pause", arguments, {})


async def block_job_resume(context: Context, arguments: HmpArguments) -> str:
    return await _run(context, "block-job-resume", arguments, {})


async def block_job_set_speed(context: Context, arguments: HmpArguments) -> str:
    return await _run(context, "block-job-set-speed", arguments, {"speed": arguments.sizes["speed"]})


async def info_block_jobs(context: Context, arguments: HmpArguments) -> str:
    jobs = cast("list[JsonObject]", await registry.handler("query-block-jobs")(context, {}))
    if not jobs:
        return "No active jobs\n"
    return "".join(
        f"Type {job['type']}, device {job['device']}: Completed {job['offset']} of {job['len']} bytes, "
        f"speed limit {job['speed']} bytes/s\n"
        for job in jobs
    )


async def _run(context: Context, command: str, arguments: HmpArguments, more: JsonObject) -> str:
    await registry.handler(command)(context, {"device": arguments.texts["device"], **more})
    return ""
