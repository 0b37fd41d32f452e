"""Commands that start, stop and end the machine."""

from __future__ import annotations

from backcheck_engine.jobs.block_job import BlockJob
from backcheck_engine.json_value import JsonValue
from backcheck_engine.monitor.context import Context, RunState, ShutdownCause
from backcheck_engine.monitor.registry import NoArguments, command
from backcheck_engine.release import QEMU_7_2


@command("stop", NoArguments)
async def stop(context: Context, arguments: NoArguments) -> JsonValue:
    """Stop the guest. Requests are finished and flushed before the reply, even if the guest stood still before."""
    if context.run_state is RunState.RUNNING:
        context.run_state = RunState.PAUSED
        context.emit("STOP")
    async with context.graph.drained_all():
        await context.graph.flush_all()
    return {}


@command("cont", NoArguments)
async def cont(context: Context, arguments: NoArguments) -> JsonValue:
    for job in context.jobs:
        if isinstance(job, BlockJob):
            job.reset_io_status()
    if context.run_state is not RunState.RUNNING:
        context.run_state = RunState.RUNNING
        context.emit("RESUME")
    return {}


@command("quit", NoArguments)
async def quit_(context: Context, arguments: NoArguments) -> JsonValue:
    """End the program; QEMU 5.2 answers first, later ones when everything is gone."""
    context.shutdown(ShutdownCause.HOST_QMP_QUIT)
    if context.release >= QEMU_7_2:
        await context.gone.wait()
    return {}


@command("system_powerdown", NoArguments)
async def system_powerdown(context: Context, arguments: NoArguments) -> JsonValue:
    """Press the power button: without a guest, nobody reacts."""
    context.emit("POWERDOWN")
    return {}


@command("system_reset", NoArguments)
async def system_reset(context: Context, arguments: NoArguments) -> JsonValue:
    context.emit("RESET", {"guest": False, "reason": "host-qmp-system-reset"})
    if context.device_tree is not None:
        from backcheck_engine.monitor.unplug import remove_leaving

        await remove_leaving(context)
    return {}
