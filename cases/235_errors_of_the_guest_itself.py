"""A guest's write that its own disk refuses has been copied before: the job counts it, and copies it no second time."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["CBW-01", "CBW-02", "CBW-03", "POL-01", "SYNC-01"], groups=["cbw", "error"])
def run(t: Case) -> None:
    faults = [FailOnce("write", errno.ENOSPC, offset=2 * MiB), FailOnce("write-zeroes", errno.EIO, event="write_aio")]
    disk = t.drive("disk0", size=4 * MiB, format="raw", fault=faults)
    disk.image.write(0x11)
    before = disk.content
    target = t.node("target0", size=4 * MiB, format="raw")

    t.step("the disk refuses what the guest writes, when the old data is copied already")
    job = t.blockdev_backup(disk, target, speed=1, on_source_error="stop", on_target_error="stop")
    start = job.wait_asleep()
    disk.write(0x22, offset=2 * MiB, length=4 * KiB, expect="No space left on device")
    disk.write_zeroes(offset=3 * MiB, length=64 * KiB, expect="Input/output error")
    t.expect("bytes copied for the guest", job.offset() - start, 128 * KiB)
    job.expect_query(status="running", io_status="ok")
    disk.read(0x11, offset=2 * MiB, length=4 * KiB)

    t.step("tried again it is written, and nothing is copied")
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    disk.write_zeroes(offset=3 * MiB, length=64 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 128 * KiB)

    t.step("the copy is of the start")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    target.expect_identical(before)
    disk.image.expect_identical(disk)
