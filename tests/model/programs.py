"""Random programs: a Hypothesis state machine whose rules are the operations that make sense at each moment.

Its rules only move the model; the program that has come about is run when it is complete. So it is the same on every
implementation, and what a shrunk one does is what its case does.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.errors import StopTest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.model.backups import Backup, Cancel, Pause, Proceed, Resume, Target
from tests.model.bitmaps import AddBitmap, ChangeBitmap, LookAtBitmap, MergeBitmaps
from tests.model.disks import SECTOR, Bitmap, Disk, Job, KiB, MiB, Pace, State
from tests.model.guest import Discard, Read, Resize, Write, WriteZeroes
from tests.model.machine import Kill, Restart, Transaction
from tests.model.setups import CLUSTERS, setups
from tests.model.source import Operation, Program
from tests.model.world import Setup, World

GRANULARITIES = (None, 512, 4 * KiB, 64 * KiB, MiB)
LENGTHS = (SECTOR, 1, 4 * KiB, 64 * KiB, 64 * KiB + 1, 300_000)
FIRST_PATTERN = 0xB0
PATTERNS = st.integers(1, 0xAF)
"""Of guest writes; what disks hold at first is above, so that it can be told apart."""
STEPS = 12
"""How many operations a program may have."""
MOST_BITMAPS = 4
MOST_BACKUPS = 4
MOST_MACHINES = 2
FEWEST_FOR_A_MACHINE = 3
FEWEST_FOR_SLOW = 12
"""How many clusters with data a slow job must have, to be running for as long as the model wants it to."""
FAULTY = (Pace.STOPPED, Pace.FAILED, Pace.IGNORED)
PACES: dict[str, tuple[Pace, ...]] = {
    "file": (Pace.STRAIGHT, Pace.FREE, Pace.SLOW),
    "node": (Pace.STRAIGHT, Pace.FREE, Pace.SLOW, *FAULTY),
    "held": (Pace.HELD, Pace.STRAIGHT),
}


class RandomProgram(RuleBasedStateMachine):
    """Grows a program, and hands it over when it is complete."""

    run: ClassVar[Callable[[Program], None]]

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.operations: list[Operation] = []

    @initialize(setup=setups(), data=st.data())
    def begin(self, setup: Setup, data: st.DataObject) -> None:
        self.setup = setup
        self.world = World(setup)
        for disk in self.world.disks.values():
            if not disk.has_backing and data.draw(st.integers(0, 3)):
                self.do(Write(disk=disk.name, pattern=FIRST_PATTERN, offset=0, length=disk.size))
            if data.draw(st.integers(0, 3)):
                self.do(self.a_new_bitmap(data, disk, persistent=data.draw(st.booleans()), disabled=False))
                self.do(Write(disk=disk.name, pattern=data.draw(PATTERNS), offset=0, length=min(disk.size, 70 * KiB)))
        if self.ready_bitmaps() and data.draw(st.booleans()):
            self.start_backup_with_bitmap(data)

    def teardown(self) -> None:
        # A program that Hypothesis has given up is not complete; it says so by this exception, which passes here.
        if self.world is not None and not isinstance(sys.exc_info()[1], StopTest):
            type(self).run(Program(setup=self.setup, operations=tuple(self.operations)))

    def do(self, operation: Operation) -> None:
        """One operation more."""
        assert self.world is not None
        operation.tell(self.world)
        self.operations.append(operation)

    # What is there to do something with

    @property
    def model(self) -> World:
        assert self.world is not None
        return self.world

    @property
    def jobs(self) -> list[Job]:
        return self.model.jobs

    def bitmap_names(self, wanted: Callable[[Bitmap], bool] = lambda _: True) -> list[str]:
        return [name for name, bitmap in self.model.bitmaps.items() if wanted(bitmap)]

    def idle_disks(self) -> list[str]:
        return [name for name, disk in self.model.disks.items() if not disk.job]

    # The guest

    @rule(data=st.data(), pattern=PATTERNS)
    def write(self, data: st.DataObject, pattern: int) -> None:
        self.write_to(data, self.a_disk(data), pattern)

    @precondition(lambda self: not self.model.held)
    @rule(data=st.data(), kind=st.sampled_from(["zeroes", "zeroes and unmap", "discard", "read"]))
    def other_request(self, data: st.DataObject, kind: str) -> None:
        disk = self.a_disk(data)
        offset, length = self.a_range(data, disk, aligned=kind == "discard")
        if kind == "read":
            self.do(Read(disk=disk.name, offset=offset, length=length))
        elif kind == "discard":
            self.do(Discard(disk=disk.name, offset=offset, length=length))
        elif self.may_touch(disk, offset, length):
            unmap = kind == "zeroes and unmap"
            self.do(WriteZeroes(disk=disk.name, offset=offset, length=length, unmap=unmap))

    @precondition(lambda self: not self.model.held)
    @rule(data=st.data(), size=st.sampled_from([MiB, MiB + SECTOR, 512 * KiB, 2 * MiB, 3 * MiB, 130 * KiB]))
    def resize(self, data: st.DataObject, size: int) -> None:
        disk = self.a_disk(data)
        # A qcow2 image that is cut inside a cluster keeps what lies behind, and shows it when it grows again.
        kept = disk.format == "qcow2" and size < disk.size and size % disk.cluster
        if not kept and not any(bitmap.inconsistent for bitmap in disk.bitmaps.values()):
            self.do(Resize(disk=disk.name, size=size))

    # Bitmaps

    @precondition(lambda self: not self.model.held and len(self.model.bitmaps) < MOST_BITMAPS)
    @rule(data=st.data(), persistent=st.booleans(), disabled=st.integers(0, 4))
    def add_bitmap(self, data: st.DataObject, persistent: bool, disabled: int) -> None:
        disk = self.a_disk(data)
        self.do(self.a_new_bitmap(data, disk, persistent=persistent, disabled=disabled == 4))

    @precondition(lambda self: not self.model.held and self.model.bitmaps)
    @rule(data=st.data(), verb=st.sampled_from(["clear", "enable", "disable", "remove"]))
    def change_bitmap(self, data: st.DataObject, verb: str) -> None:
        self.do(ChangeBitmap(name=data.draw(st.sampled_from(self.bitmap_names())), verb=verb))

    @precondition(lambda self: not self.model.held and len(self.model.bitmaps) > 1)
    @rule(data=st.data())
    def merge_bitmaps(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(self.bitmap_names()))
        if (merge := self.a_merge(data, target)) is not None:
            self.do(merge)

    @precondition(lambda self: self.model.bitmaps and not any(job.in_flight for job in self.jobs))
    @rule(data=st.data())
    def look_at_bitmap(self, data: st.DataObject) -> None:
        self.do(LookAtBitmap(name=data.draw(st.sampled_from(self.bitmap_names()))))

    # Jobs

    @precondition(lambda self: not self.model.held and self.idle_disks() and self.backups_left())
    @rule(data=st.data())
    def start_backup(self, data: st.DataObject) -> None:
        disk = self.model.disks[data.draw(st.sampled_from(self.idle_disks()))]
        self.do(self.a_backup(data, disk, paces=None))

    @precondition(lambda self: self.backups_left() and self.can_be_held(self.model.disks["disk0"]))
    @rule(sync=st.sampled_from(["full", "top"]))
    def start_held_backup(self, sync: str) -> None:
        disk = self.model.disks["disk0"]
        backup = Backup(disk=disk.name, sync=sync, target=Target(kind="held"))
        self.do(replace(backup, pace=self.paces(disk, backup)[0]))

    @precondition(lambda self: not self.model.held and self.ready_bitmaps() and self.backups_left())
    @rule(data=st.data())
    def start_backup_with_bitmap(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.ready_bitmaps()))
        disk = self.model.bitmaps[name].disk
        self.do(self.a_backup(data, disk, paces=None, bitmap=name))
        if disk.job is not None and not self.model.held and data.draw(st.integers(0, 3)):
            # What becomes of a bitmap shows by what was written while the job had it.
            self.write_to(data, disk, data.draw(PATTERNS))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def proceed(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs).map(lambda job: job.disk.name))
        if self.model.disks[job].job.sync != "none":  # type: ignore[union-attr]
            self.do(Proceed(disk=job))

    @precondition(lambda self: self.jobs and not self.model.held)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.do(Cancel(disk=data.draw(st.sampled_from(self.jobs).map(lambda job: job.disk.name))))

    @precondition(lambda self: any(job.state is State.GOING and job.stays_running(more=8) for job in self.jobs))
    @rule()
    def pause(self) -> None:
        job = next(job for job in self.jobs if job.state is State.GOING and job.stays_running(more=8))
        self.do(Pause(disk=job.disk.name))

    @precondition(lambda self: any(resumable(job) for job in self.jobs))
    @rule()
    def resume(self) -> None:
        self.do(Resume(disk=next(job for job in self.jobs if resumable(job)).disk.name))

    @precondition(lambda self: not self.model.held and self.idle_disks() and self.backups_left())
    @rule(data=st.data(), abort=st.booleans())
    def transaction(self, data: st.DataObject, abort: bool) -> None:
        chosen = [name for name in self.idle_disks() if data.draw(st.booleans())]
        backups = [
            self.a_backup(data, self.model.disks[name], paces=(Pace.STRAIGHT,), bitmap=self.a_bitmap(data, name))
            for name in chosen
        ]
        used = {backup.bitmap for backup in backups}
        changes = [change for change in self.bitmap_actions(data) if not (names_in(change) & used)]
        grouped = bool(backups) and not changes and not abort and data.draw(st.booleans())
        if backups or changes:
            self.do(Transaction(actions=(*changes, *backups), grouped=grouped, abort=abort))

    # The machine

    @precondition(lambda self: not self.model.held and self.machines_left())
    @rule(kill=st.booleans())
    def end_machine(self, kill: bool) -> None:
        if kill:
            self.do(Kill())
        elif not self.jobs:
            self.do(Restart())

    # Drawing the parts of operations

    def write_to(self, data: st.DataObject, disk: Disk, pattern: int) -> None:
        offset, length = self.a_range(data, disk, aligned=self.model.held)
        if self.may_touch(disk, offset, length):
            self.do(Write(disk=disk.name, pattern=pattern, offset=offset, length=length))

    def a_disk(self, data: st.DataObject) -> Disk:
        names = [job.disk.name for job in self.jobs] if self.model.held else list(self.model.disks)
        return self.model.disks[data.draw(st.sampled_from(names))]

    def a_bitmap(self, data: st.DataObject, disk: str) -> str | None:
        """A bitmap that a backup of that disk may use, or none."""
        ready = [name for name in self.ready_bitmaps() if self.model.bitmaps[name].disk.name == disk]
        return data.draw(st.sampled_from([None, *ready]))

    def a_range(self, data: st.DataObject, disk: Disk, *, aligned: bool = False) -> tuple[int, int]:
        unit = data.draw(st.sampled_from([64 * KiB, 4 * KiB, SECTOR] if aligned else [64 * KiB, 4 * KiB, SECTOR, 1]))
        offset = data.draw(st.integers(0, (disk.size - 1) // unit)) * unit
        length = min(data.draw(st.sampled_from(LENGTHS)), disk.size - offset)
        return offset, -(-length // SECTOR) * SECTOR if aligned else length

    def may_touch(self, disk: Disk, offset: int, length: int) -> bool:
        """Whether the guest may write there: a slow job must not end by it, nor requests in flight overlap."""
        job = disk.job
        if job is not None and any(offset < start + size and start < offset + length for start, size in job.in_flight):
            return False
        if job is None or job.pace is not Pace.SLOW or job.state is State.PENDING or job.sync == "none":
            return True
        return job.stays_running(more=length // job.cluster + 2)

    def a_new_bitmap(self, data: st.DataObject, disk: Disk, *, persistent: bool, disabled: bool) -> AddBitmap:
        return AddBitmap(
            disk=disk.name,
            granularity=data.draw(st.sampled_from(GRANULARITIES)),
            persistent=persistent and disk.format == "qcow2",
            disabled=disabled,
        )

    def a_merge(self, data: st.DataObject, target: str) -> MergeBitmaps | None:
        disk = self.model.bitmaps[target].disk
        others = self.bitmap_names(lambda bitmap: bitmap.disk is disk and bitmap.name != target)
        if not others:
            return None
        return MergeBitmaps(target=target, sources=(data.draw(st.sampled_from(others)),))

    def bitmap_actions(self, data: st.DataObject) -> list[AddBitmap | ChangeBitmap | MergeBitmaps]:
        actions: list[AddBitmap | ChangeBitmap | MergeBitmaps] = []
        for name in self.bitmap_names(lambda bitmap: bitmap.usable):
            verb = data.draw(st.sampled_from(["", "clear", "enable", "disable", "merge"]))
            if verb == "merge":
                merge = self.a_merge(data, name)
                if merge is not None and all(self.model.bitmaps[source].usable for source in merge.sources):
                    actions.append(merge)
            elif verb:
                actions.append(ChangeBitmap(name=name, verb=verb))
        if len(self.model.bitmaps) < MOST_BITMAPS and data.draw(st.booleans()):
            disk = self.a_disk(data)
            actions.append(self.a_new_bitmap(data, disk, persistent=data.draw(st.booleans()), disabled=False))
        return actions

    def backups_left(self) -> bool:
        return sum(isinstance(operation, Backup | Transaction) for operation in self.operations) < MOST_BACKUPS

    def ready_bitmaps(self) -> list[str]:
        """Those that a backup may use now."""
        return self.bitmap_names(lambda bitmap: bitmap.usable and bitmap.exact and not bitmap.disk.job)

    def machines_left(self) -> bool:
        ends = [place for place, operation in enumerate(self.operations) if isinstance(operation, Restart | Kill)]
        return len(ends) < MOST_MACHINES and len(self.operations) - max(ends, default=0) > FEWEST_FOR_A_MACHINE

    def a_backup(
        self, data: st.DataObject, disk: Disk, *, paces: tuple[Pace, ...] | None, bitmap: str | None = None
    ) -> Backup:
        """A backup of an idle disk, of any pace that fits or of these; with that bitmap, or none."""
        target = data.draw(st.sampled_from(self.targets(disk, held=paces is None)))
        syncs = ["incremental", "bitmap", "bitmap", "full", "top"] if bitmap else ["full", "top", "none"]
        if target.kind == "file" and target.format == "raw":
            syncs = [sync for sync in syncs if sync not in ("top", "none")]
        if paces is not None or target.kind == "held":
            syncs = [sync for sync in syncs if sync != "none"]
        sync = data.draw(st.sampled_from(syncs))
        backup = Backup(
            disk=disk.name,
            sync=sync,
            target=target,
            bitmap=bitmap,
            mode=data.draw(st.sampled_from(MODES[sync])) if bitmap else None,
            compress=target.format == "qcow2" and target.kind != "held" and data.draw(st.integers(0, 5)) == 5,
        )
        return replace(backup, pace=data.draw(st.sampled_from(paces or self.paces(disk, backup))))

    def targets(self, disk: Disk, *, held: bool) -> list[Target]:
        nodes = [Target(kind="node", format="raw"), *(Target(kind="node", cluster=cluster) for cluster in CLUSTERS[1:])]
        found = [Target(kind="file"), Target(kind="file", format="raw"), *nodes]
        if held and self.can_be_held(disk):
            found.append(Target(kind="held"))
        return found

    def can_be_held(self, disk: Disk) -> bool:
        """Whether a backup of that disk to the target drive could stop at its first write."""
        return not self.jobs and self.model.held_target_size == disk.size and any(disk.data)

    def paces(self, disk: Disk, backup: Backup) -> list[Pace]:
        """Those that the model can follow for this backup."""
        if backup.sync == "none":
            return [Pace.FREE]
        bitmap = self.model.bitmaps[backup.bitmap] if backup.bitmap else None
        cluster = backup.target.copy_cluster
        writes = disk.data_clusters(disk.clusters_of(backup.sync, bitmap, cluster), cluster)
        impossible: set[Pace] = set()
        if backup.compress or not writes:
            impossible |= {*FAULTY, Pace.HELD}
        if len(writes) < FEWEST_FOR_SLOW:
            impossible.add(Pace.SLOW)
        return [pace for pace in PACES[backup.target.kind] if pace not in impossible]


MODES: dict[str, tuple[str | None, ...]] = {
    "full": ("on-success", "always"),
    "top": ("on-success", "always"),
    "incremental": (None, "on-success"),
    "bitmap": ("on-success", "never", "always"),
}


def resumable(job: Job) -> bool:
    """Whether it is paused and goes on running when it is resumed."""
    return job.state is State.PAUSED and job.pace is not Pace.STOPPED and job.stays_running()


def names_in(action: AddBitmap | ChangeBitmap | MergeBitmaps) -> set[str | None]:
    """The bitmaps that an action speaks of."""
    match action:
        case ChangeBitmap():
            return {action.name}
        case MergeBitmaps():
            return {action.target, *action.sources}
    return set()


def run_programs(run: Callable[[Program], None], *, seed: int, count: int, shrink: bool = True) -> None:
    """Hands the programs of a seed to `run`; when it raises, looks for a smaller one for which it does, and raises."""
    machine = type("RandomProgram", (RandomProgram,), {"run": staticmethod(run)})
    chosen = settings(
        max_examples=count,
        stateful_step_count=STEPS,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(with_seed(seed)(machine), settings=chosen)


def programs(seed: int, count: int) -> list[Program]:
    """The programs of a seed."""
    found: list[Program] = []
    run_programs(found.append, seed=seed, count=count, shrink=False)
    return found
