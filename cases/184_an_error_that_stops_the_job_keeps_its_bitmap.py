"""A job that an error has stopped still has its bitmap; how the job ends, not the error, decides what is owed."""

import errno

from backcheck import Case, FailAlways, FailOnce, KiB, MiB, case


@case(rules=["BMP-05", "BMP-06", "BMP-10", "POL-04", "POL-05"], groups=["bitmap", "error", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    once, always = FailOnce("write", errno.EIO, offset=3 * MiB), FailAlways("write", errno.EIO, offset=3 * MiB)
    mended, broken = (
        t.node(f"target{number}", size=4 * MiB, format="raw", fault=fault)
        for number, fault in enumerate((once, always))
    )
    owed = disk.add_bitmap("b0", granularity=64 * KiB)
    for offset in (0, 3 * MiB):
        disk.write(0x11, offset=offset, length=64 * KiB)
    before = disk.content

    t.step("stopped: it is in use, and the guest goes on")
    job = t.blockdev_backup(disk, mended, sync="incremental", bitmap="b0", on_target_error="stop")
    job.event("BLOCK_JOB_ERROR", operation="write", action="stop")
    t.poll(lambda: job.query()["status"] == "paused", "the job to pause")
    disk.write(0x22, offset=1 * MiB, length=64 * KiB)
    owed.expect(count=128 * KiB, busy=True, recording=True)
    owed.expect_refused("clear", error="Bitmap 'b0' is currently in use by another operation and cannot be used")

    t.step("resumed it succeeds: nothing is owed of what was before")
    job.resume()
    job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB)
    owed.expect(count=64 * KiB, busy=False)

    t.step("cancelled while it is stopped: with always the cluster in error is owed, and what was written")
    disk.write(0x33, offset=3 * MiB, length=64 * KiB)
    job = t.blockdev_backup(disk, broken, sync="bitmap", bitmap="b0", bitmap_mode="always", on_target_error="stop")
    job.event("BLOCK_JOB_ERROR", operation="write", action="stop")
    t.poll(lambda: job.query()["status"] == "paused", "the job to pause")
    disk.write(0x44, offset=2 * MiB, length=64 * KiB)
    job.cancel()
    job.wait().expect_cancelled().expect(len=128 * KiB, offset=64 * KiB)
    owed.expect(count=128 * KiB, busy=False)
    t.shutdown()
    mended.expect_identical(before)
