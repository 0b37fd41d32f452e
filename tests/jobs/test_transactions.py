"""Transactions of several backups: all start or none, and a group ends as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.backup_actions import BlockdevBackupAction
from backcheck_engine.jobs.backup_options import BackupOptions, SyncMode
from backcheck_engine.jobs.bitmap_actions import (
    BitmapClearAction,
    BitmapDisableAction,
    BitmapEnableAction,
    BitmapMergeAction,
    BitmapReference,
)
from backcheck_engine.jobs.group import JobGroup
from backcheck_engine.jobs.transaction import Action, run_transaction
from tests.jobs.machine import START, SUCCESS, Fault, KiB, Machine, MiB, memory_node, refused, run

CHANGES: dict[str, Callable[[Graph, BitmapReference], Action]] = {
    "clear": BitmapClearAction,
    "disable": BitmapDisableAction,
    "enable": BitmapEnableAction,
    "merge": lambda graph, bitmap: BitmapMergeAction(graph, bitmap, ["other"]),
}


class TwoDisks(Machine):
    """A guest with a second disk, `disk1`, and a second target."""

    def __init__(self) -> None:
        super().__init__()
        node, self.second_source = memory_node(self.graph, "source1", len(self.source.data))
        _, self.second_target = memory_node(self.graph, "target1", len(self.source.data))
        self.second_guest = BlockBackend(self.graph, "disk1", permissions=Permission.WRITE)
        self.second_guest.insert(node)
        self.fill()

    def action(self, number: int, *, target: str | None = None, auto_finalize: bool = True) -> Action:
        """A backup of one of the disks, as a job called j0 or j1."""
        options = BackupOptions(sync=SyncMode.FULL, job_id=f"j{number}", auto_finalize=auto_finalize)
        target = target or ("target" if number == 0 else "target1")
        return BlockdevBackupAction(self.graph, self.jobs, f"disk{number}", target, options)

    def transaction(self, *actions: Action, grouped: bool = False) -> Awaitable[None]:
        """Run a transaction."""
        return run_transaction(self.graph, self.jobs, actions, grouped=grouped)


def test_when_an_action_fails_no_job_starts() -> None:
    async def story() -> None:
        machine = TwoDisks()
        attempt = machine.transaction(machine.action(0), machine.action(1, target="nope"))
        assert await refused(attempt) == "Cannot find device='nope' nor node-name='nope'"
        assert machine.lane("j0") == ["created", "aborting", "concluded", "null"]
        assert machine.lane("j1") == []
        assert machine.guest.node is machine.source_node
        assert list(machine.jobs) == []
        assert machine.source_node.drain_count == 0

    run(story)


def test_a_target_can_be_used_once() -> None:
    async def story() -> None:
        machine = TwoDisks()
        attempt = machine.transaction(machine.action(0), machine.action(1, target="target"))
        assert await refused(attempt) == "Node 'target' is busy: block device is in use by block job: backup"

    run(story)


def test_the_newest_job_starts_first() -> None:
    async def story() -> None:
        machine = TwoDisks()
        await machine.transaction(machine.action(0), machine.action(1))
        running = [data["id"] for _, data in machine.events if data.get("status") == "running"]
        assert running[:2] == ["j1", "j0"]
        await machine.jobs.cancel_all()

    run(story)


def test_alone_each_job_has_its_own_end() -> None:
    async def story() -> None:
        machine = TwoDisks()
        machine.target.faults.append(Fault("write"))
        await machine.transaction(machine.action(0), machine.action(1))
        await machine.until_state("null", "j0")
        await machine.until_state("null", "j1")
        assert machine.lane("j0")[-3:] == ["BLOCK_JOB_COMPLETED", "concluded", "null"]
        assert machine.lane("j1") == START + SUCCESS

    run(story)


def test_grouped_the_first_to_finish_waits_for_the_last() -> None:
    async def story() -> None:
        machine = TwoDisks()
        gate = machine.target.hold("write")
        await machine.transaction(machine.action(0), machine.action(1), grouped=True)
        await machine.until_state("waiting", "j1")
        assert machine.lane("j0") == START
        machine.target.open_gate(gate)
        await machine.until_state("null", "j0")
        await machine.until_state("null", "j1")
        assert machine.lane("j0") == START + SUCCESS
        assert machine.lane("j1") == START + SUCCESS

    run(story)


def test_grouped_a_failure_cancels_the_others_also_one_that_has_copied_everything() -> None:
    async def story() -> None:
        machine = TwoDisks()
        gate = machine.target.hold("write", 0)
        machine.target.faults.append(Fault("write", offset=0))
        await machine.transaction(machine.action(0), machine.action(1), grouped=True)
        await machine.until_state("waiting", "j1")
        machine.target.open_gate(gate)
        await machine.until_state("null", "j0")
        await machine.until_state("null", "j1")
        assert machine.lane("j0")[4:] == ["BLOCK_JOB_ERROR", "aborting", "BLOCK_JOB_COMPLETED", "concluded", "null"]
        assert machine.lane("j1")[4:] == ["waiting", "aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]
        cancelled = machine.data_of("BLOCK_JOB_CANCELLED")
        assert cancelled["offset"] == cancelled["len"]

    run(story)


def test_grouped_one_that_is_not_finalized_by_itself_stops_all_and_any_can_be_finalized() -> None:
    async def story() -> None:
        machine = TwoDisks()
        await machine.transaction(machine.action(0, auto_finalize=False), machine.action(1), grouped=True)
        await machine.until(lambda: machine.lane("j0")[-1] == "BLOCK_JOB_PENDING")
        assert machine.lane("j1") == [*START, "waiting", "pending"]
        job = machine.jobs.find("j1")
        assert job is not None
        await machine.jobs.finalize(job)
        assert machine.lane("j0")[-2:] == ["concluded", "null"]
        assert machine.lane("j1")[-2:] == ["concluded", "null"]

    run(story)


def test_grouped_cancelling_one_cancels_all() -> None:
    async def story() -> None:
        machine = TwoDisks()
        gate = machine.target.hold("write")
        await machine.transaction(machine.action(0), machine.action(1), grouped=True)
        await machine.until_state("waiting", "j1")
        job = machine.jobs.find("j0")
        assert job is not None
        await machine.jobs.cancel(job)
        machine.target.open_gate(gate)
        await machine.until_state("null", "j0")
        await machine.until_state("null", "j1")
        assert machine.lane("j0")[4:] == ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]
        assert machine.lane("j1")[4:] == ["waiting", "aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]

    run(story)


class SlowFailure(Action):
    """Takes long enough for guests to write, and then fails."""

    def __init__(self, *writes: Awaitable[None]) -> None:
        self._writes = writes

    async def prepare(self, group: JobGroup) -> None:
        for write in self._writes:
            await write
        raise BlockError("too late")


@pytest.mark.parametrize("names", [[*names] for length in (1, 2) for names in product(CHANGES, repeat=length)])
def test_what_guests_write_before_a_transaction_fails_stays_marked(names: list[str]) -> None:
    async def story() -> None:
        machine = TwoDisks()
        bitmap = machine.source_node.bitmaps.create(64 * KiB, name="b")
        machine.source_node.bitmaps.create(64 * KiB, name="other", recording=False).set(MiB, 1)
        bitmap.set(0, 1)
        changes = [CHANGES[name](machine.graph, BitmapReference(node="disk0", name="b")) for name in names]
        write = machine.guest.pwrite(3 * MiB, bytes(512))
        assert await refused(machine.transaction(*changes, SlowFailure(write))) == "too late"
        assert [start // KiB for start, _ in bitmap.runs()] == [0, 3 * KiB]
        assert bitmap.recording
        assert len(machine.source_node.bitmaps) == 2

    run(story)
