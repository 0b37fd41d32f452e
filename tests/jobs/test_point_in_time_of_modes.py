"""Whatever happens during a backup with a bitmap, or with sync=none: the copy, the bitmap and what they owe each other.

The stories are those of `test_point_in_time`. What a bitmap holds in the end is said by a model of ranges: what was
marked at the start, what reached the source since, and which clusters the target has.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.jobs.backup_options import BitmapMode, SyncMode
from tests.jobs.machine import KiB, Machine, MiB, run
from tests.jobs.test_point_in_time import CONTENT, RANGES, SIZE, STEPS, Story

OLD = 0x77
GRANULARITIES = st.sampled_from([4 * KiB, 64 * KiB, MiB])


def make_machine(cluster_size: int = 0) -> Machine:
    """A machine with a full disk, and a target that holds something else."""
    machine = Machine(SIZE, cluster_size=cluster_size)
    machine.fill()
    machine.source.data[:] = CONTENT
    machine.target.data[:] = bytes([OLD]) * SIZE
    return machine


def units_of(ranges: Iterable[tuple[int, int]], unit: int) -> set[int]:
    """The units that ranges touch."""
    return {
        index
        for offset, length in ranges
        for index in range(offset // unit, (min(offset + length, SIZE) - 1) // unit + 1)
    }


def marked(bitmap: DirtyBitmap) -> set[int]:
    """The units that a bitmap marks."""
    return units_of(bitmap.runs(), bitmap.granularity)


def area(cluster: int, size: int) -> slice:
    """The bytes of a cluster."""
    return slice(cluster * size, min((cluster + 1) * size, SIZE))


def changes_of(machine: Machine, since: int) -> list[tuple[int, int]]:
    """The ranges of all requests that reached the source and could change it."""
    return [
        (offset, length) for kind, offset, length in machine.source.log[since:] if kind in ("write", "zero", "discard")
    ]


@settings(max_examples=60)
@given(
    dirty=st.lists(RANGES, min_size=1, max_size=5),
    granularity=GRANULARITIES,
    steps=st.lists(STEPS, max_size=20),
    cluster_size=st.sampled_from([0, 256 * KiB]),
    sync=st.sampled_from([SyncMode.BITMAP, SyncMode.FULL]),
    mode=st.sampled_from([*BitmapMode, BitmapMode.ALWAYS]),
    recording=st.booleans(),
    is_cancelled=st.sampled_from([True, True, False]),
    speed=st.sampled_from([1, 1, 0]),
)
def test_what_is_not_copied_stays_marked(
    dirty: list[tuple[int, int]],
    granularity: int,
    steps: list[tuple[str, object]],
    cluster_size: int,
    sync: SyncMode,
    mode: BitmapMode,
    recording: bool,
    is_cancelled: bool,
    speed: int,
) -> None:
    if sync is SyncMode.FULL and mode is BitmapMode.NEVER:
        mode = BitmapMode.ALWAYS

    async def story() -> None:
        machine = make_machine(cluster_size)
        bitmap = machine.source_node.bitmaps.create(granularity, name="b0", recording=recording)
        for offset, length in dirty:
            bitmap.set(offset, length)
        old = marked(bitmap)
        snapshot, begin = bytes(machine.source.data), len(machine.source.log)
        job = await machine.backup(
            sync=sync,
            bitmap="b0",
            bitmap_mode=mode,
            speed=speed,
            max_workers=4,
            on_source_error="stop",
            on_target_error="stop",
        )
        telling = Story(machine)
        for name, value in steps:
            await telling.step(name, value)
        succeeded = not is_cancelled or machine.jobs.find("j0") is None
        if not succeeded and not job.run_is_over.is_set():
            job.request_cancel()
        else:
            succeeded = True
        await telling.finish()

        (after,) = machine.source_node.bitmaps
        cluster = max(64 * KiB, cluster_size)
        wanted = units_of(bitmap_ranges(old, granularity), cluster) if sync is SyncMode.BITMAP else None
        present = {
            index
            for index in range(-(-SIZE // cluster))
            if machine.target.data[area(index, cluster)] == snapshot[area(index, cluster)]
        }
        new = units_of(changes_of(machine, begin), granularity) if recording else set()
        assert (after.name, after.busy, after.recording, after.successor) == ("b0", False, recording, None)
        check_target(machine, wanted, present, cluster, succeeded=succeeded)
        if mode is not BitmapMode.ALWAYS or succeeded:
            starts_anew = succeeded and mode is not BitmapMode.NEVER
            assert marked(after) == (new if starts_anew else old | new)
        else:
            everything = set(range(-(-SIZE // cluster)))
            left = (everything if wanted is None else wanted) - present
            owed = units_of(bitmap_ranges(left, cluster), granularity)
            assert marked(after) == owed | new

    run(story)


def bitmap_ranges(units: set[int], unit: int) -> list[tuple[int, int]]:
    """Units as ranges."""
    return [(index * unit, unit) for index in units]


def check_target(
    machine: Machine, wanted: set[int] | None, present: set[int], cluster: int, *, succeeded: bool
) -> None:
    """Each cluster is whole: copied, which all wanted ones are in the end, or as it was."""
    for index in range(-(-SIZE // cluster)):
        is_wanted = wanted is None or index in wanted
        if index in present:
            assert is_wanted, "only what is marked is copied"
        else:
            assert not (is_wanted and succeeded)
            assert set(machine.target.data[area(index, cluster)]) == {OLD}


@settings(max_examples=40)
@given(steps=st.lists(STEPS, max_size=25), cluster_size=st.sampled_from([0, 256 * KiB]))
def test_a_copy_of_nothing_and_the_source_are_the_start_together(
    steps: list[tuple[str, object]], cluster_size: int
) -> None:
    async def story() -> None:
        machine = make_machine(cluster_size)
        job = await machine.backup(sync=SyncMode.NONE)
        telling = Story(machine)
        for name, value in steps:
            await telling.step(name, value)
        assert not job.run_is_over.is_set()
        for disk, gate in telling.gates:
            disk.open_gate(gate)
        telling.gates.clear()
        for request in telling.waiting:
            await request
        cluster = max(64 * KiB, cluster_size)
        touched = units_of(machine.target.requests("write") + machine.target.requests("zero"), cluster)
        for index in range(-(-SIZE // cluster)):
            where = area(index, cluster)
            is_copied = machine.target.data[where] == CONTENT[where]
            assert is_copied or set(machine.target.data[where]) == {OLD}
            assert is_copied or machine.source.data[where] == CONTENT[where]
            assert is_copied <= (index in touched)
        job.request_cancel()
        await job.is_concluded.wait()
        assert machine.lane()[-4:] == ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]
        assert job.current_progress == cluster * sum(
            machine.target.data[area(index, cluster)] == CONTENT[area(index, cluster)]
            for index in range(-(-SIZE // cluster))
        )

    run(story)
