"""The job behind `blockdev-create`, whose events and queries are those that QEMU 10.0 gave."""

from __future__ import annotations

import pytest

from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.create_job import CreateJob, start_create_job
from tests.jobs.machine import Machine, run


async def nothing_to_do() -> None:
    """An image that is made at once."""


async def no_folder() -> None:
    """An image that cannot be made."""
    raise BlockError("Could not create 'nodir/x.img': No such file or directory")


def test_it_stays_concluded_until_it_is_dismissed() -> None:
    async def story() -> None:
        machine = Machine()
        job = start_create_job(machine.jobs, "c0", nothing_to_do)
        await job.is_concluded.wait()
        assert machine.lane("c0") == ["created", "running", "waiting", "pending", "concluded"]
        assert job.describe_progress() == {
            "current-progress": 1,
            "status": "concluded",
            "total-progress": 1,
            "type": "create",
            "id": "c0",
        }
        machine.jobs.dismiss(job)
        assert machine.lane("c0")[-1] == "null"
        assert machine.jobs.find("c0") is None

    run(story)


def test_a_failure_is_kept_for_whoever_asks() -> None:
    async def story() -> None:
        machine = Machine()
        job = start_create_job(machine.jobs, "c0", no_folder)
        await job.is_concluded.wait()
        assert machine.lane("c0") == ["created", "running", "aborting", "concluded"]
        assert job.describe_progress()["error"] == "Could not create 'nodir/x.img': No such file or directory"
        assert job.describe_progress()["current-progress"] == 1

    run(story)


@pytest.mark.parametrize("job_id", ["", "1abc", "a b", "#x", "ä", "a\n"])
def test_an_id_that_is_none_is_refused(job_id: str) -> None:
    async def story() -> None:
        machine = Machine()
        with pytest.raises(BlockError, match="Invalid job ID"):
            start_create_job(machine.jobs, job_id, nothing_to_do)
        assert machine.events == []

    run(story)


def test_ids_are_shared_by_all_kinds_of_job() -> None:
    async def story() -> None:
        machine = Machine()
        job: CreateJob = start_create_job(machine.jobs, "j0", nothing_to_do)
        await job.is_concluded.wait()
        with pytest.raises(BlockError, match="Job ID 'j0' already in use"):
            await machine.backup("j0")
        assert set(machine.graph.nodes) == {"source", "target"}

    run(story)
