"""With always a failed increment owes just what it has not copied: a second job onto the same target completes it."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["BMP-06", "BMP-07", "POL-14", "SYNC-11", "POL-02"], groups=["bitmap", "error", "story"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    fault = FailOnce("write", errno.ENOSPC, offset=5 * MiB)
    full = t.node("target0", size=8 * MiB, format="raw", fault=fault)
    owed = disk.add_bitmap("b0", granularity=64 * KiB)

    t.step("the full backup")
    first = t.node("target1", size=8 * MiB, format="raw")
    t.blockdev_backup(disk, first, bitmap=owed, bitmap_mode="on-success").wait().expect_completed()
    owed.expect(count=0)

    t.step("five places are written, and the disk is full at the fifth")
    for place in range(1, 6):
        disk.write(0x22, offset=place * MiB, length=64 * KiB)
    job = t.blockdev_backup(disk, full, sync="bitmap", bitmap=owed, bitmap_mode="always")
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="No space left on device", len=5 * 64 * KiB, offset=4 * 64 * KiB)
    owed.expect(count=64 * KiB, busy=False, recording=True)

    t.step("meanwhile the guest has written one of them again")
    disk.write(0x33, offset=2 * MiB, length=4 * KiB)
    owed.expect(count=128 * KiB)

    t.step("the second job copies those two only")
    job = t.blockdev_backup(disk, full, sync="bitmap", bitmap=owed, bitmap_mode="always")
    job.wait().expect_completed().expect(len=128 * KiB)
    owed.expect(count=0)

    t.step("together they hold every place, and nothing else")
    t.shutdown()
    wanted = t.image("empty.img", size=8 * MiB, format="raw").content
    for place in range(1, 6):
        wanted = wanted.written(0x22, place * MiB, 64 * KiB)
    full.expect_identical(wanted.written(0x33, 2 * MiB, 4 * KiB))
