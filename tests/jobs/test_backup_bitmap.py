"""The bitmap of a backup: what it holds afterwards, as a table; and every refusal, which leaves it as it was."""

from __future__ import annotations

from typing import Any

import pytest

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.jobs.backup_options import BitmapMode, SyncMode
from tests.jobs.machine import KiB, Machine, MiB, refused, run, turns

CLUSTER = 64 * KiB
OLD, NEW = (0, 4 * KiB), (2 * MiB, 4 * KiB)
"""What is marked at the start, and what a guest writes during the job."""
LEFT = (MiB, 3 * MiB)
"""What a job that was to copy everything has not copied when it is cancelled after one chunk."""

AFTERWARDS = [
    # sync, bitmap-mode, succeeded: ranges that are marked
    (SyncMode.INCREMENTAL, None, True, [NEW]),
    (SyncMode.INCREMENTAL, None, False, [OLD, NEW]),
    (SyncMode.BITMAP, BitmapMode.ON_SUCCESS, True, [NEW]),
    (SyncMode.BITMAP, BitmapMode.ON_SUCCESS, False, [OLD, NEW]),
    (SyncMode.BITMAP, BitmapMode.NEVER, True, [OLD, NEW]),
    (SyncMode.BITMAP, BitmapMode.NEVER, False, [OLD, NEW]),
    (SyncMode.BITMAP, BitmapMode.ALWAYS, True, [NEW]),
    (SyncMode.BITMAP, BitmapMode.ALWAYS, False, [NEW]),
    (SyncMode.FULL, BitmapMode.ON_SUCCESS, True, [NEW]),
    (SyncMode.FULL, BitmapMode.ON_SUCCESS, False, [OLD, NEW]),
    (SyncMode.FULL, BitmapMode.ALWAYS, True, [NEW]),
    (SyncMode.FULL, BitmapMode.ALWAYS, False, [LEFT, NEW]),
    (SyncMode.TOP, BitmapMode.ON_SUCCESS, True, [NEW]),
    (SyncMode.TOP, BitmapMode.ALWAYS, False, [LEFT, NEW]),
]

NO_BITMAP = "must provide a valid bitmap name for '{}' sync mode"
REFUSALS = [
    # sync, bitmap, bitmap-mode, more options: the words
    (SyncMode.INCREMENTAL, None, None, {}, NO_BITMAP.format("incremental")),
    (SyncMode.BITMAP, None, BitmapMode.NEVER, {}, NO_BITMAP.format("bitmap")),
    (
        SyncMode.INCREMENTAL,
        "nope",
        BitmapMode.ALWAYS,
        {},
        "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'",
    ),
    (SyncMode.INCREMENTAL, "nope", None, {}, "Bitmap 'nope' could not be found"),
    (SyncMode.BITMAP, "", None, {}, "Bitmap '' could not be found"),
    (SyncMode.BITMAP, "b0", None, {}, "Bitmap sync mode must be given when providing a bitmap"),
    (
        SyncMode.NONE,
        "b0",
        BitmapMode.NEVER,
        {},
        "sync mode 'none' does not produce meaningful bitmap outputs",
    ),
    (
        SyncMode.TOP,
        "b0",
        BitmapMode.NEVER,
        {},
        "Bitmap sync mode 'never' has no meaningful effect when combined with sync mode 'top'",
    ),
    (SyncMode.FULL, None, BitmapMode.ALWAYS, {}, "Cannot specify bitmap sync mode without a bitmap"),
    (SyncMode.FULL, None, BitmapMode.ALWAYS, {"target": "source"}, "Cannot specify bitmap sync mode without a bitmap"),
    (SyncMode.INCREMENTAL, "b0", None, {"target": "source"}, "Source and target cannot be the same"),
    (SyncMode.INCREMENTAL, "b0", None, {"max_workers": 0}, "max-workers must be between 1 and 2147483647"),
    (
        SyncMode.INCREMENTAL,
        "b0",
        None,
        {"max_chunk": 1000},
        "Required max-chunk (1000) is less than backup cluster size (65536)",
    ),
    (SyncMode.INCREMENTAL, "b0", None, {"job_id": "1j"}, "Invalid job ID '1j'"),
    (SyncMode.INCREMENTAL, "b0", None, {"speed": -1}, "Parameter 'speed' expects a non-negative value"),
]


def marked(bitmap: DirtyBitmap) -> list[tuple[int, int]]:
    """The ranges that a bitmap marks, neighbours joined."""
    return list(bitmap.runs())


@pytest.mark.parametrize(("sync", "mode", "succeeds", "expected"), AFTERWARDS)
def test_what_a_bitmap_holds_afterwards(
    sync: SyncMode, mode: BitmapMode | None, succeeds: bool, expected: list[tuple[int, int]]
) -> None:
    async def story() -> None:
        machine = Machine()
        machine.fill()
        bitmaps = machine.source_node.bitmaps
        bitmaps.create(4 * KiB, name="b0").set(*OLD)
        job = await machine.backup(
            sync=sync, bitmap="b0", bitmap_mode=mode, speed=0 if succeeds else 1, max_workers=1, auto_finalize=False
        )
        while "pending" not in machine.lane() and (succeeds or not job.current_progress):
            await turns(1)
        await machine.guest.pwrite(NEW[0], b"\xee" * NEW[1])
        (frozen,) = [bitmap for bitmap in bitmaps if bitmap.name == "b0"]
        assert (marked(frozen), frozen.busy) == ([OLD], True)
        await (machine.jobs.finalize(job) if succeeds else machine.jobs.cancel(job))
        await job.is_concluded.wait()
        (after,) = bitmaps
        wanted = DirtyBitmap(4 * MiB, 4 * KiB)
        for offset, length in expected:
            wanted.set(offset, length)
        if expected[0] == LEFT:
            # The guest's write had its cluster copied first.
            wanted.clear(NEW[0], CLUSTER)
            wanted.set(*NEW)
        assert marked(after) == marked(wanted)
        assert (after.name, after.busy, after.recording) == ("b0", False, True)

    run(story)


@pytest.mark.parametrize(("sync", "bitmap", "mode", "more", "words"), REFUSALS)
def test_a_refusal_leaves_the_bitmap_alone(
    sync: SyncMode, bitmap: str | None, mode: BitmapMode | None, more: dict[str, Any], words: str
) -> None:
    async def story() -> None:
        machine = Machine()
        (first := machine.source_node.bitmaps.create(4 * KiB, name="b0")).set(*OLD)
        assert await refused(machine.backup(sync=sync, bitmap=bitmap, bitmap_mode=mode, **more)) == words
        assert list(machine.source_node.bitmaps) == [first]
        assert (marked(first), first.busy, first.recording, first.successor) == ([OLD], False, True, None)
        assert machine.guest.root is not None

    run(story)


@pytest.mark.parametrize(
    ("flag", "mode", "words"),
    [
        ("busy", BitmapMode.NEVER, "Bitmap 'b0' is currently in use by another operation and cannot be used"),
        ("inconsistent", BitmapMode.NEVER, "Bitmap 'b0' is inconsistent and cannot be used"),
        ("read_only", BitmapMode.ALWAYS, "Bitmap 'b0' is readonly and cannot be modified"),
        ("read_only", BitmapMode.NEVER, None),
    ],
)
def test_a_bitmap_that_cannot_be_used(flag: str, mode: BitmapMode, words: str | None) -> None:
    async def story() -> None:
        machine = Machine()
        setattr(machine.source_node.bitmaps.create(name="b0"), flag, True)
        start = machine.backup(sync=SyncMode.BITMAP, bitmap="b0", bitmap_mode=mode)
        if words is not None:
            assert await refused(start) == words
            return
        await start
        await machine.until_state("null")

    run(story)
