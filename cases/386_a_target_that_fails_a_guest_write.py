"""A guest's write fails when the target refuses the old data, and the new data does not reach the disk."""

import errno

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-07", "CBW-08"], groups=["nbd", "cbw", "error", "quick"])
def run(t: Case) -> None:
    source = t.recording_target("source0", size=4 * MiB, node=False)
    disk = t.drive_over("disk0", source)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)
    job = t.backup(disk, target, speed=64 * KiB)
    source.forget()

    t.step("the target refuses the old data")
    target.fail("write", errno.EIO, offset=3 * MiB, times=2)
    for _ in range(2):
        disk.write(0x22, offset=3 * MiB + 4 * KiB, length=4 * KiB, expect="Input/output error")
    source.expect_untouched()
    job.expect_query(status="running", io_status="ok")

    t.step("it takes it the next time")
    disk.write(0x22, offset=3 * MiB + 4 * KiB, length=4 * KiB)
    source.expect_written_once((3 * MiB + 4 * KiB, 4 * KiB), cluster=512)
    target.expect_written_once((3 * MiB, 64 * KiB), elsewhere=True)
    job.set_speed(0)
    job.wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(before)
    source.expect_identical(disk)
