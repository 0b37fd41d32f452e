"""Backups: how they start, what is done to them, and how they end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.model.disks import COPY_CLUSTER, Bitmap, Disk, Job, Pace, State
from tests.model.world import HELD_TARGET, World, amount, image_size, ranges

SLOWEST = 4096
EIO_TEXT = "Input/output error"
SLOW_OPTIONS = ', speed=4 * KiB, x_perf={"max-workers": 1, "max-chunk": 64 * KiB}'
PACE_OPTIONS: Mapping[Pace, str] = {
    Pace.STRAIGHT: "",
    Pace.FREE: ", auto_finalize=False",
    Pace.SLOW: f"{SLOW_OPTIONS}, auto_finalize=False",
    Pace.HELD: "",
    Pace.STOPPED: ', on_target_error="stop"',
    Pace.FAILED: "",
    Pace.IGNORED: ', on_target_error="ignore"',
}
FAULTS: Mapping[Pace, str] = {
    Pace.STOPPED: ', fault=FailOnce("write", errno.EIO)',
    Pace.FAILED: ', fault=FailAlways("write", errno.EIO)',
    Pace.IGNORED: ', fault=FailOnce("write", errno.EIO)',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a backup goes: a file that drive-backup makes, or a new node, or the drive that can hold requests."""

    kind: str
    """`file`, `node` or `held`."""
    format: str = "qcow2"
    cluster: int | None = None

    @property
    def copy_cluster(self) -> int:
        """What the job copies at once."""
        own = self.cluster or COPY_CLUSTER
        return max(COPY_CLUSTER, own) if self.format == "qcow2" else COPY_CLUSTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup of a disk that has no job."""

    disk: str
    sync: str
    target: Target
    pace: Pace = Pace.STRAIGHT
    bitmap: str | None = None
    mode: str | None = None
    compress: bool = False

    def tell(self, world: World) -> None:
        job = self.prepare(world)
        if self.pace is Pace.HELD:
            world.say(f'held = {HELD_TARGET}.hold("write_aio")')
        world.say(f"{job.name} = t.{self.call(world, job)}")
        self.begin(world, job)

    def prepare(self, world: World) -> Job:
        """The job in the model, and the lines before its start."""
        disk = world.disks[self.disk]
        name = world.next_name("job")
        target = self._target_name(world, name)
        bitmap = world.bitmaps[self.bitmap] if self.bitmap else None
        cluster = self.target.copy_cluster
        # drive-backup of a disk without a backing file takes top for full.
        sync = "full" if self.target.kind == "file" and self.sync == "top" and not disk.has_backing else self.sync
        to_copy = disk.clusters_of(sync, bitmap, cluster)
        chained = self.target.kind == "file" and sync in ("top", "none")
        job = Job(
            name=name,
            disk=disk,
            sync=sync,
            bitmap=bitmap,
            mode=self.mode or "on-success",
            pace=self.pace,
            cluster=cluster,
            before=bytes(disk.data),
            to_copy=to_copy,
            data_clusters=disk.data_clusters(to_copy, cluster),
            target=target,
            target_format=self.target.format,
            node=target if self.target.kind == "node" else None,
            chained=chained,
            whole=chained or sync == "full",
        )
        world.sync_modes.add(self.sync)
        world.say("", f't.step("{name}")', f"before_{name} = {self.disk}.content")
        if self.target.kind == "node":
            world.say(f"{job.target} = t.node({self._node_arguments(disk, job.target)})")
        elif self.target.kind == "held":
            world.held_target_size = None
        return job

    def call(self, world: World, job: Job, suffix: str = "") -> str:
        """The call that starts it, or with `_action` as suffix makes an action of it."""
        options = PACE_OPTIONS[self.pace]
        if self.bitmap:
            options += f", bitmap={self.bitmap}"
        if self.mode:
            options += f', bitmap_mode="{self.mode}"'
        if self.compress:
            options += ", compress=True"
        if self.target.kind == "file":
            target = f'"{job.name}.img"'
            options += f', format="{self.target.format}"' if self.target.format != job.disk.format else ""
            return f'drive_backup{suffix}({self.disk}, {target}, sync="{self.sync}"{options})'
        return f'blockdev_backup{suffix}({self.disk}, {job.target}, sync="{self.sync}"{options})'

    def begin(self, world: World, job: Job) -> None:
        """It has started: what its pace makes of it."""
        job.disk.job = job
        if job.bitmap:
            job.bitmap.successor = set()
        if self.pace is Pace.HELD:
            world.say("held.wait()")
        elif self.pace is Pace.STOPPED:
            world.say(f'{job.name}.event("BLOCK_JOB_ERROR", operation="write", action="stop")')
            world.say(f'{job.name}.reach("paused")')
            job.state = State.PAUSED
        elif self.pace in (Pace.STRAIGHT, Pace.IGNORED):
            world.say(f"{job.name}.wait().expect_completed()")
            completed(world, job)
        elif self.pace is Pace.FAILED:
            world.say(f'{job.name}.wait().expect(error="{EIO_TEXT}")')
            failed(world, job)

    def _target_name(self, world: World, job: str) -> str:
        if self.target.kind == "held":
            return HELD_TARGET
        return world.next_name("target") if self.target.kind == "node" else f"{job}.target"

    def _node_arguments(self, disk: Disk, name: str) -> str:
        text = f'"{name}", size={amount(disk.size)}, format="{self.target.format}"'
        if self.target.cluster and self.target.format == "qcow2":
            text += f', options={{"cluster_size": "{image_size(self.target.cluster)}"}}'
        return text + FAULTS.get(self.pace, "")


class _Story(Protocol):
    """What is done to the job of a disk."""

    @property
    def disk(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceed:
    """The job goes on to where it rests next, or to its end."""

    disk: str

    def tell(self, world: World) -> None:
        job = _job_of(self, world)
        if job.state is State.PENDING:
            world.say(f"{job.name}.finalize().wait().expect_completed()")
            completed(world, job)
        elif job.pace is Pace.HELD:
            world.say("held.release()", *(f"request{number}.wait()" for number in range(len(job.in_flight))))
            world.say(f"{job.name}.wait().expect_completed()")
            completed(world, job)
        elif job.pace is Pace.STOPPED:
            world.say(f"{job.name}.resume().wait().expect_completed()")
            completed(world, job)
        else:
            resume = ".resume()" if job.state is State.PAUSED else ""
            speed = ".set_speed(0)" if job.pace is Pace.SLOW else ""
            world.say(f"{job.name}{speed}{resume}.wait()")
            job.state = State.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The job is cancelled, wherever it is."""

    disk: str

    def tell(self, world: World) -> None:
        job = _job_of(self, world)
        world.say(f'{job.name}.cancel().reach("null")', f"{job.name}.expect_cancelled()")
        world.steady = world.steady and (job.pace is not Pace.FREE or job.state is State.PENDING)
        if job.sync == "none":
            settled(world, job, success=False)
            _judge_none(world, job)
        else:
            failed(world, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A job that is certainly running pauses."""

    disk: str

    def tell(self, world: World) -> None:
        job = _job_of(self, world)
        world.say(f'{job.name}.pause().reach("paused")')
        job.state = State.PAUSED
        job.kicks += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """And goes on."""

    disk: str

    def tell(self, world: World) -> None:
        job = _job_of(self, world)
        world.say(f'{job.name}.resume().reach("running")')
        job.state = State.GOING
        job.kicks += 1


def completed(world: World, job: Job) -> None:
    """It has ended well: its bitmap, and all that its target must hold."""
    settled(world, job, success=True)
    expected = f"before_{job.name}"
    if not job.whole:
        kept = ", ".join(f"({amount(offset)}, {amount(length)})" for offset, length in _held_ranges(job))
        expected += f".only({kept})"
    _judge(world, job, expected)


def failed(world: World, job: Job) -> None:
    """It has ended otherwise: its target is a sound image, of which nothing else is known."""
    settled(world, job, success=False)
    _judge(world, job, None)


def settled(world: World, job: Job, *, success: bool) -> None:
    """Its filter is gone, and its bitmap is what its mode makes of it."""
    job.disk.job = None
    bitmap = job.bitmap
    if bitmap is not None:
        left = _granules(bitmap, job.uncopied, job.cluster)
        bitmap.settle(job.mode, success=success, left=left, sure_left=job.state is State.PENDING)
        world.look(bitmap)


def _judge(world: World, job: Job, expected: str | None) -> None:
    """The target, once its node is gone; the target drive is judged in the end."""
    if job.target == HELD_TARGET:
        world.held_expected = expected
        return
    image = f"{job.target}.image" if job.node else job.target
    if job.node:
        world.say(f't.qmp("blockdev-del", node_name="{job.node}")')
    if expected:
        world.say(f"{image}.expect_content({expected})")
    leaks = "leaks=True" if job.pace in FAULTS else ""
    # Undisturbed drive-backups are checked by every other case; a process less for most programs.
    if job.target_format == "qcow2" and (job.node or job.pace is not Pace.STRAIGHT):
        world.say(f"{image}.expect_clean({leaks})")


def _judge_none(world: World, job: Job) -> None:
    """What sync=none leaves: old data of what was overwritten, over the source as it is now, or over nothing."""
    if job.chained:
        # Its backing file is the source, which the machine has open.
        if not world.jobs:
            world.say("t.shutdown()")
            _judge(world, job, f"before_{job.name}")
            world.say("t.start()")
            restarted(world)
    else:
        kept = ", ".join(f"({amount(offset)}, {amount(length)})" for offset, length in _held_ranges(job))
        _judge(world, job, f"before_{job.name}.only({kept})")


def restarted(world: World) -> None:
    """A machine ended in order and another began: bitmaps that are not persistent are gone."""
    for name, bitmap in list(world.bitmaps.items()):
        if bitmap.persistent:
            bitmap.in_image = True
        else:
            del world.bitmaps[name], bitmap.disk.bitmaps[name]


def _held_ranges(job: Job) -> list[tuple[int, int]]:
    return list(ranges(job.held_clusters, job.cluster))


def _granules(bitmap: Bitmap, clusters: set[int], cluster: int) -> set[int]:
    granules: set[int] = set()
    for index in clusters:
        granules |= bitmap.granules(index * cluster, cluster)
    return granules


def _job_of(operation: _Story, world: World) -> Job:
    job = world.disks[operation.disk].job
    assert job is not None, "the disk has a job"
    return job
