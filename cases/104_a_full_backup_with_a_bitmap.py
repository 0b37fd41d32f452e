"""A full backup does not read its bitmap, it settles it: `always` makes it owe all that an unfinished copy lacks."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case

LAST = 4 * MiB - 64 * KiB


@case(rules=["BMP-05", "BMP-06", "BMP-08"], groups=["bitmap", "full", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=64 * KiB)
    disk.write(0x11, offset=LAST, length=64 * KiB)
    owed = disk.add_bitmap("b0", granularity=64 * KiB)
    disk.write(0x22, offset=0, length=4 * KiB)
    target = t.node("target0", size=4 * MiB, format="raw", fault=FailOnce("write", errno.EIO, offset=LAST))

    t.step("always, cancelled after the first cluster: the whole rest of the disk is owed")
    job = t.drive_backup(disk, "cancelled.img", bitmap="b0", bitmap_mode="always", speed=1)
    job.wait_offset()
    owed.expect(count=64 * KiB, busy=True)
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=64 * KiB)
    owed.expect(count=LAST, busy=False)

    t.step("on-success, cancelled: what was owed is owed")
    owed.clear()
    disk.write(0x22, offset=64 * KiB, length=4 * KiB)
    job = t.drive_backup(disk, "cancelled.img", bitmap="b0", bitmap_mode="on-success", speed=1)
    job.wait_offset()
    disk.write(0x33, offset=1 * MiB, length=4 * KiB)
    job.cancel()
    job.wait().expect_cancelled()
    owed.expect(count=128 * KiB)

    t.step("always, failed at the last cluster: that one is owed, and what was written")
    job = t.blockdev_backup(disk, target, bitmap="b0", bitmap_mode="always", speed=1)
    job.wait_offset()
    disk.write(0x44, offset=2 * MiB, length=4 * KiB)
    job.set_speed(0)
    job.wait().expect(error="Input/output error", len=4 * MiB)
    owed.expect(count=128 * KiB)

    t.step("so an incremental backup onto the same target completes it")
    t.blockdev_backup(disk, target, sync="incremental", bitmap="b0").wait().expect_completed().expect(len=128 * KiB)
    owed.expect(count=0)

    t.step("on-success, finished: the bitmap knew of nothing, all was copied")
    job = t.drive_backup(disk, "full.img", bitmap="b0", bitmap_mode="on-success")
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(disk.content)
    t.shutdown()
    target.expect_identical(disk.content)
