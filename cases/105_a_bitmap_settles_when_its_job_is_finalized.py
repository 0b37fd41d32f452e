"""A job that is pending still holds its bitmap: finalizing it or cancelling it decides what is owed."""

from backcheck import Case, KiB, MiB, case

BUSY = "Bitmap 'b0' is currently in use by another operation and cannot be used"


@case(rules=["BMP-09", "BMP-10"], groups=["bitmap", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    disk.write(0x11, offset=1 * MiB, length=4 * KiB)
    before = disk.content

    t.step("all is copied, and the bitmap is still in use")
    job = t.drive_backup(disk, "t0.img", sync="incremental", bitmap="b0", auto_finalize=False)
    job.wait()
    disk.write(0x22, offset=1 * MiB + 32 * KiB, length=4 * KiB)
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    owed.expect(count=4 * KiB, busy=True, recording=True)
    for verb in ("clear", "disable", "remove"):
        owed.expect_refused(verb, error=BUSY)

    t.step("finalized: what was written since the start is owed")
    job.finalize()
    job.wait().expect_completed().expect(len=64 * KiB, offset=64 * KiB)
    owed.expect(count=8 * KiB, busy=False)
    job.target.expect_identical(before)

    t.step("cancelled instead: an incremental backup owes as if it had never been")
    job = t.drive_backup(disk, "t1.img", sync="incremental", bitmap="b0", auto_finalize=False)
    job.wait()
    disk.write(0x33, offset=3 * MiB, length=4 * KiB)
    owed.expect(count=8 * KiB, busy=True)
    job.cancel()
    job.wait().expect_cancelled().expect(len=128 * KiB, offset=128 * KiB)
    owed.expect(count=12 * KiB, busy=False)

    t.step("cancelled with always: all was copied, so only what was written is owed")
    job = t.drive_backup(disk, "t2.img", sync="bitmap", bitmap="b0", bitmap_mode="always", auto_finalize=False)
    job.wait()
    disk.write(0x44, offset=0, length=4 * KiB)
    job.cancel()
    job.wait().expect_cancelled()
    owed.expect(count=4 * KiB, busy=False)
