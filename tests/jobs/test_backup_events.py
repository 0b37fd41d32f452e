"""The life of a backup job as clients see it. Each sequence is one that QEMU 10.0 gave in the same situation."""

import errno

import pytest

from backcheck_engine import release
from tests.jobs.machine import START, SUCCESS, Fault, KiB, Machine, MiB, refused, run, turns


def test_a_backup_that_works() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        job = await machine.backup()
        assert machine.lane() == START
        await job.is_concluded.wait()
        assert machine.lane() == START + SUCCESS
        assert machine.data_of("BLOCK_JOB_COMPLETED") == {
            "device": "j0",
            "len": 4 * MiB,
            "offset": 4 * MiB,
            "speed": 0,
            "type": "backup",
        }
        assert machine.target.data == machine.source.data
        assert list(machine.jobs) == []
        assert set(machine.graph.nodes) == {"source", "target"}

    run(story)


def test_by_hand_it_waits_in_pending_and_in_concluded() -> None:
    async def story() -> None:
        machine = Machine()
        job = await machine.backup(auto_finalize=False, auto_dismiss=False)
        await machine.until(lambda: machine.lane()[-1] == "BLOCK_JOB_PENDING")
        assert machine.lane() == [*START, "waiting", "pending", "BLOCK_JOB_PENDING"]
        assert machine.data_of("BLOCK_JOB_PENDING") == {"type": "backup", "id": "j0"}
        await machine.jobs.finalize(job)
        assert machine.lane()[7:] == ["BLOCK_JOB_COMPLETED", "concluded"]
        assert await refused(machine.jobs.finalize(job)) == (
            "Job 'j0' in state 'concluded' cannot accept command verb 'finalize'"
        )
        machine.jobs.dismiss(job)
        assert machine.lane()[-1] == "null"
        assert list(machine.jobs) == []

    run(story)


def test_cancelled_while_it_sleeps_it_is_gone_before_the_reply() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        job = await machine.backup(speed=1)
        await turns()
        await machine.jobs.cancel(job)
        assert machine.lane() == [*START, "aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]
        assert machine.data_of("BLOCK_JOB_CANCELLED") == {
            "device": "j0",
            "len": 4 * MiB,
            "offset": MiB,
            "speed": 1,
            "type": "backup",
        }

    run(story)


@pytest.mark.parametrize("workers", [1, 64])
def test_verbs_do_not_wait_for_a_copy_in_flight(workers: int) -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        gate = machine.target.hold("write", 0)
        job = await machine.backup(max_workers=workers)
        await gate.entered.wait()
        assert machine.block_job().describe_block_job()["busy"] is False
        await machine.jobs.pause(job)
        shown = machine.block_job().describe_block_job()
        assert (shown["busy"], shown["paused"], shown["status"]) == (True, True, "running")
        await machine.jobs.cancel(job)
        assert machine.lane() == START
        machine.target.open_gate(gate)
        await job.is_concluded.wait()
        assert machine.lane()[4:] == ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]

    run(story)


def test_cancelled_in_pending_it_has_copied_everything() -> None:
    async def story() -> None:
        machine = Machine()
        job = await machine.backup(auto_finalize=False, auto_dismiss=False)
        await machine.until(lambda: machine.lane()[-1] == "BLOCK_JOB_PENDING")
        await machine.jobs.cancel(job)
        assert machine.lane()[7:] == ["aborting", "BLOCK_JOB_CANCELLED", "concluded"]
        assert machine.data_of("BLOCK_JOB_CANCELLED")["offset"] == 4 * MiB
        assert machine.block_job().describe_block_job()["error"] == "Operation canceled"
        assert machine.block_job().describe_progress() == {
            "id": "j0",
            "type": "backup",
            "status": "concluded",
            "current-progress": 4 * MiB,
            "total-progress": 4 * MiB,
            "error": "Operation canceled",
        }

    run(story)


def test_paused_by_a_client_and_resumed() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        job = await machine.backup(speed=1)
        await turns()
        await machine.jobs.pause(job)
        assert machine.lane() == [*START, "paused"]
        assert machine.block_job().describe_block_job() == {
            "auto-finalize": True,
            "io-status": "ok",
            "device": "j0",
            "auto-dismiss": True,
            "busy": False,
            "len": 4 * MiB,
            "offset": MiB,
            "status": "paused",
            "paused": True,
            "speed": 1,
            "ready": False,
            "type": "backup",
        }
        assert await refused(machine.jobs.pause(job)) == "Job is already paused"
        machine.block_job().set_speed(0)
        job.user_resume()
        assert machine.lane() == [*START, "paused", "running"]
        await job.is_concluded.wait()
        assert machine.target.data == machine.source.data

    run(story)


def test_cancelling_a_paused_job_wakes_it_first() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        job = await machine.backup(speed=1)
        await turns()
        await machine.jobs.pause(job)
        await machine.jobs.cancel(job)
        assert machine.lane()[5:] == ["running", "aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]

    run(story)


@pytest.mark.parametrize(("side", "copied"), [("source", MiB), ("target", 3 * MiB)])
def test_an_error_is_reported_and_what_is_in_flight_ends_first(side: str, copied: int) -> None:
    """A read that is refused at once lets no chunk follow; when a write is, all chunks have been read."""

    async def story() -> None:
        machine = Machine()
        machine.fill()
        kind = "read" if side == "source" else "write"
        getattr(machine, side).faults.append(Fault(kind, offset=MiB))
        gate = machine.target.hold("write", MiB)
        job = await machine.backup(auto_finalize=False)
        await turns()
        machine.target.open_gate(gate)
        await job.is_concluded.wait()
        assert machine.lane()[4:] == ["BLOCK_JOB_ERROR", "aborting", "BLOCK_JOB_COMPLETED", "concluded", "null"]
        assert machine.data_of("BLOCK_JOB_ERROR") == {"device": "j0", "operation": kind, "action": "report"}
        completed = machine.data_of("BLOCK_JOB_COMPLETED")
        assert completed["error"] == "Input/output error"
        assert completed["offset"] == copied

    run(story)


@pytest.mark.parametrize(("error", "io_status"), [(errno.EIO, "failed"), (errno.ENOSPC, "nospace")])
def test_an_error_stops_the_job_until_it_is_resumed(error: int, io_status: str) -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        machine.target.faults.append(Fault("write", error, times=1))
        job = await machine.backup(on_target_error="stop")
        await machine.until_state("paused")
        assert machine.lane() == [*START, "BLOCK_JOB_ERROR", "paused"]
        assert machine.data_of("BLOCK_JOB_ERROR")["action"] == "stop"
        shown = machine.block_job().describe_block_job()
        assert (shown["io-status"], shown["paused"], shown["status"]) == (io_status, True, "paused")
        assert await refused(machine.jobs.pause(job)) == "Job is already paused"
        job.user_resume()
        assert machine.block_job().describe_block_job()["io-status"] == "ok"
        await job.is_concluded.wait()
        assert machine.lane()[6:] == ["running", *SUCCESS]
        assert machine.target.data == machine.source.data

    run(story)


@pytest.mark.parametrize(
    ("policy", "error", "action"),
    [
        ("enospc", errno.EIO, "report"),
        ("enospc", errno.ENOSPC, "stop"),
        ("auto", errno.EIO, "report"),
        ("auto", errno.ENOSPC, "stop"),
        ("ignore", errno.EIO, "ignore"),
        ("report", errno.ENOSPC, "report"),
    ],
)
def test_what_a_policy_does(policy: str, error: int, action: str) -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        machine.target.faults.append(Fault("write", error, times=1))
        await machine.backup(on_target_error=policy)
        await machine.until(lambda: "BLOCK_JOB_ERROR" in machine.lane())
        assert machine.data_of("BLOCK_JOB_ERROR")["action"] == action
        await machine.jobs.cancel_all()

    run(story)


@pytest.mark.parametrize(("kind", "copied"), [("read", MiB), ("write", 3 * MiB)])
def test_an_error_that_is_ignored_for_ever_leaves_the_machine_alive(kind: str, copied: int) -> None:
    """A read that is refused at once ends each pass before the chunks behind it are taken."""

    async def story() -> None:
        machine = Machine()
        machine.fill()
        (machine.source if kind == "read" else machine.target).faults.append(Fault(kind, offset=MiB))
        job = await machine.backup(on_source_error="ignore", on_target_error="ignore")
        await machine.until(lambda: machine.lane().count("BLOCK_JOB_ERROR") > 20)
        assert machine.guest.node is not None
        assert bytes(await machine.guest.pread(0, 4096)) == b"\x11" * 4096
        await machine.jobs.cancel(job)
        await job.is_concluded.wait()
        assert machine.lane()[-4:] == ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]
        assert machine.data_of("BLOCK_JOB_CANCELLED")["offset"] == copied

    run(story)


def test_an_error_during_an_interruption_is_met_again_and_not_reported_twice() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        gate = machine.target.hold("write", 0)
        machine.target.faults.append(Fault("write", offset=0, times=1))
        job = await machine.backup()
        await gate.entered.wait()
        await machine.jobs.pause(job)
        machine.target.open_gate(gate)
        await machine.until_state("paused")
        job.user_resume()
        await job.is_concluded.wait()
        assert machine.lane() == [*START, "paused", "running", *SUCCESS]
        assert machine.target.data == machine.source.data

    run(story)


@pytest.mark.parametrize(
    ("verb", "policy", "then"),
    [
        ("pause", "report", ["aborting", "BLOCK_JOB_COMPLETED", "concluded", "null"]),
        ("pause", "ignore", ["paused"]),
        ("pause", "stop", ["paused"]),
        ("cancel", "report", ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]),
        ("cancel", "ignore", ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]),
        ("cancel", "stop", ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]),
    ],
)
def test_before_6_0_an_error_during_an_interruption_was_told(
    verb: str, policy: str, then: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As QEMU 5.2 answered."""
    monkeypatch.setattr(release, "current", lambda: release.QEMU_5_2)

    async def story() -> None:
        machine = Machine()
        machine.fill()
        machine.target.faults.append(Fault("write", times=1))
        gate = machine.target.hold("write")
        job = await machine.backup(on_target_error=policy)
        await gate.entered.wait()
        await (machine.jobs.pause(job) if verb == "pause" else machine.jobs.cancel(job))
        before = machine.lane()
        machine.target.open_gate(gate)
        await machine.until(lambda: machine.lane()[-1] == then[-1])
        await turns()
        assert machine.lane() == [*before, "BLOCK_JOB_ERROR", *then]
        assert machine.data_of("BLOCK_JOB_ERROR") == {"device": "j0", "operation": "write", "action": policy}
        if then == ["paused"]:
            assert machine.block_job().io_status.value == ("failed" if policy == "stop" else "ok")
            await machine.jobs.cancel(job)

    run(story)


def test_a_drained_section_pauses_the_job_for_its_duration() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        job = await machine.backup(speed=1)
        await turns()
        assert await refused(machine.backup("j1", device="nope")) == ("Cannot find device='nope' nor node-name='nope'")
        assert machine.lane() == [*START, "paused", "running"]
        await machine.jobs.pause(job)
        assert "Cannot find" in await refused(machine.backup("j1", device="nope"))
        assert machine.lane() == [*START, "paused", "running", "paused"]
        await machine.jobs.cancel_all()

    run(story)


def test_shutdown_in_each_state() -> None:
    async def story() -> None:
        machine = Machine()
        job = await machine.backup("done", auto_dismiss=False)
        await job.is_concluded.wait()
        job = await machine.backup("pending", auto_finalize=False)
        await machine.until(lambda: machine.lane("pending")[-1] == "BLOCK_JOB_PENDING")
        seen = len(machine.events)
        await machine.jobs.cancel_all()
        assert [(event, data.get("status")) for event, data in machine.events[seen:]] == [
            ("JOB_STATUS_CHANGE", "aborting"),
            ("BLOCK_JOB_CANCELLED", None),
            ("JOB_STATUS_CHANGE", "concluded"),
            ("JOB_STATUS_CHANGE", "null"),
            ("JOB_STATUS_CHANGE", "null"),
        ]
        assert list(machine.jobs) == []

    run(story)


def test_a_tail_counts_as_a_whole_cluster_and_is_copied_as_a_tail() -> None:
    async def story() -> None:
        machine = Machine(MiB + 512)
        machine.fill()
        job = await machine.backup()
        await job.is_concluded.wait()
        assert machine.data_of("BLOCK_JOB_COMPLETED")["len"] == MiB + 64 * KiB
        assert machine.data_of("BLOCK_JOB_COMPLETED")["offset"] == MiB + 64 * KiB
        assert sum(length for _, length in machine.target.requests("write")) == MiB + 512
        assert machine.target.data == machine.source.data

    run(story)


def test_the_unit_is_the_clusters_of_the_target_where_they_are_larger() -> None:
    async def story() -> None:
        machine = Machine(MiB, cluster_size=2 * MiB)
        job = await machine.backup()
        await job.is_concluded.wait()
        assert machine.data_of("BLOCK_JOB_COMPLETED")["len"] == 2 * MiB

    run(story)


def test_a_faster_speed_counts_at_once() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        job = await machine.backup(speed=1)
        await turns()
        assert machine.block_job().current_progress == MiB
        machine.block_job().set_speed(0)
        await job.is_concluded.wait()
        assert machine.lane() == START + SUCCESS

    run(story)
