"""The filter above a backup's source: what it copies, when a guest waits, and what a failure does."""

from __future__ import annotations

import asyncio
from typing import Any

from backcheck_engine.block.request import RequestFlag
from tests.jobs.machine import Fault, KiB, Machine, MiB, refused, run, turns

CLUSTER = 64 * KiB


async def held_machine(**options: Any) -> Machine:
    """A backup that has copied the first MiB of four and sleeps for hours."""
    machine = Machine()
    machine.fill()
    await machine.backup(speed=1, **options)
    await turns()
    machine.target.log.clear()
    machine.source.log.clear()
    return machine


def test_a_write_copies_the_clusters_it_touches_first() -> None:
    async def story() -> None:
        machine = await held_machine()
        await machine.guest.pwrite(2 * MiB + 60 * KiB, b"\x22" * (10 * KiB))
        assert machine.target.requests("write") == [(2 * MiB, 2 * CLUSTER)]
        assert machine.target.data[2 * MiB : 2 * MiB + 2 * CLUSTER] == b"\x11" * 2 * CLUSTER
        assert machine.source.data[2 * MiB + 60 * KiB] == 0x22
        assert machine.block_job().current_progress == MiB + 2 * CLUSTER
        await machine.jobs.cancel_all()

    run(story)


def test_what_was_copied_is_not_copied_again() -> None:
    async def story() -> None:
        machine = await held_machine()
        await machine.guest.pwrite(0, b"\x22" * 4096)
        assert machine.target.requests("write") == []
        await machine.guest.pwrite(2 * MiB + CLUSTER, b"\x22" * 4096)
        await machine.guest.pwrite(2 * MiB + 60 * KiB, b"\x33" * (10 * KiB))
        assert machine.target.requests("write") == [(2 * MiB + CLUSTER, CLUSTER), (2 * MiB, CLUSTER)]
        await machine.jobs.cancel_all()

    run(story)


def test_zeroes_are_copied_before_and_a_discard_is_dropped() -> None:
    async def story() -> None:
        machine = await held_machine()
        await machine.guest.discard(2 * MiB, CLUSTER)
        assert machine.target.requests("write") == []
        assert machine.source.requests("discard") == []
        assert machine.source.data[2 * MiB] == 0x11
        await machine.guest.pwrite_zeroes(2 * MiB, CLUSTER, RequestFlag.MAY_UNMAP)
        assert machine.target.requests("write") == [(2 * MiB, CLUSTER)]
        assert machine.source.data[2 * MiB] == 0
        assert machine.target.data[2 * MiB] == 0x11
        await machine.jobs.cancel_all()
        await machine.guest.discard(3 * MiB, CLUSTER)
        assert machine.source.requests("discard") == [(3 * MiB, CLUSTER)]

    run(story)


def test_a_failed_copy_fails_the_guest_and_nothing_else() -> None:
    async def story() -> None:
        machine = await held_machine(on_target_error="stop")
        machine.target.faults.append(Fault("write", times=1))
        assert await refused(machine.guest.pwrite(2 * MiB, b"\x22" * 4096)) == "Input/output error"
        assert machine.source.data[2 * MiB] == 0x11
        assert "BLOCK_JOB_ERROR" not in machine.lane()
        assert machine.block_job().describe_block_job()["io-status"] == "ok"
        await machine.guest.pwrite(2 * MiB, b"\x22" * 4096)
        machine.block_job().set_speed(0)
        await machine.until_state("null")
        assert machine.target.data == b"\x11" * 4 * MiB

    run(story)


def test_a_broken_snapshot_lets_guests_go_on() -> None:
    async def story() -> None:
        machine = await held_machine(breaks_snapshot=True)
        machine.target.faults.append(Fault("write", times=1))
        await machine.guest.pwrite(2 * MiB, b"\x22" * 4096)
        await machine.guest.pwrite(3 * MiB, b"\x22" * 4096)
        machine.block_job().set_speed(0)
        await machine.until_state("null")
        assert machine.data_of("BLOCK_JOB_COMPLETED")["offset"] == 4 * MiB
        assert machine.target.data == machine.source.data

    run(story)


def test_a_guest_waits_for_the_copy_in_flight_and_not_for_others() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        gate = machine.target.hold("write", MiB)
        await machine.backup(max_workers=2)
        await gate.entered.wait()
        waiting = asyncio.create_task(machine.guest.pwrite(MiB + CLUSTER, b"\x22" * 4096))
        await machine.guest.pwrite(3 * MiB + CLUSTER, b"\x33" * 4096)
        await turns()
        assert not waiting.done()
        assert machine.source.data[MiB + CLUSTER] == 0x11
        machine.target.open_gate(gate)
        await waiting
        await machine.until_state("null")
        assert machine.target.data == b"\x11" * 4 * MiB
        covered = sorted(machine.target.requests("write"))
        assert sum(length for _, length in covered) == 4 * MiB, "every cluster is copied once"

    run(story)


def test_whoever_waited_for_a_copy_that_failed_tries_again() -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        gate = machine.target.hold("write", MiB)
        machine.target.faults.append(Fault("write", offset=MiB, times=1))
        await machine.backup(on_target_error="stop")
        await gate.entered.wait()
        waiting = asyncio.create_task(machine.guest.pwrite(MiB, b"\x22" * 4096))
        await turns()
        machine.target.open_gate(gate)
        await waiting
        assert machine.target.data[MiB] == 0x11
        await machine.until_state("paused")
        machine.block_job().user_resume()
        await machine.until_state("null")
        assert machine.target.data == b"\x11" * 4 * MiB

    run(story)


def test_the_guard_stands_while_paused_and_while_pending() -> None:
    async def story() -> None:
        machine = await held_machine(auto_finalize=False)
        job = machine.block_job()
        await machine.jobs.pause(job)
        await machine.guest.pwrite(2 * MiB, b"\x22" * 4096)
        assert machine.target.requests("write") == [(2 * MiB, CLUSTER)]
        job.set_speed(0)
        job.user_resume()
        await machine.until(lambda: machine.lane()[-1] == "BLOCK_JOB_PENDING")
        machine.target.log.clear()
        await machine.guest.pwrite(3 * MiB, b"\x22" * 4096)
        assert machine.target.log == []
        await machine.jobs.finalize(job)
        assert machine.guest.node is machine.source_node
        assert machine.target.data == b"\x11" * 4 * MiB

    run(story)


def test_guests_reads_and_flushes_leave_the_target_alone() -> None:
    async def story() -> None:
        machine = await held_machine()
        await machine.guest.pwrite(2 * MiB, b"\x22" * 4096)
        machine.target.log.clear()
        assert bytes(await machine.guest.pread(2 * MiB, 4096)) == b"\x22" * 4096
        await machine.guest.flush()
        assert machine.target.log == []
        assert machine.source.requests("flush") == [(0, 0)]
        await machine.jobs.cancel_all()

    run(story)


def test_zero_areas_become_zero_writes_and_nothing_is_skipped() -> None:
    async def story() -> None:
        machine = Machine()
        machine.target.data[:] = b"\x77" * 4 * MiB
        machine.fill(offset=MiB, length=CLUSTER)
        machine.fill(offset=2 * MiB + 8192, length=4096)
        await machine.backup()
        await machine.until_state("null")
        assert machine.target.data == machine.source.data
        assert machine.target.requests("write") == [(MiB, CLUSTER), (2 * MiB, CLUSTER)]

    run(story)


def test_long_zero_areas_go_in_long_pieces_until_one_fails() -> None:
    async def story() -> None:
        machine = Machine(64 * MiB)
        machine.target.data[:] = b"\x77" * 64 * MiB
        await machine.backup("j0")
        await machine.until_state("null", "j0")
        assert machine.target.requests("zero") == [(0, 64 * MiB)]
        assert machine.target.data == machine.source.data
        machine.target.log.clear()
        machine.target.faults.append(Fault("zero", offset=5 * MiB))
        await machine.backup("j1")
        await machine.until_state("null", "j1")
        completed = [data for event, data in machine.events if event == "BLOCK_JOB_COMPLETED"][-1]
        assert completed["error"] == "Input/output error"
        assert completed["len"] == 64 * MiB
        assert 5 * MiB <= int(str(completed["offset"])) < 64 * MiB

    run(story)
