"""A compressed write that fails stops the job as any other; its cluster is used up, and no second try can write it."""

import errno

from backcheck import Case, FailAlways, FailOnce, KiB, MiB, case


@case(rules=["CMP-16", "CMP-02", "CMP-07", "POL-04", "POL-05", "POL-02"], groups=["compress", "error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    once = FailOnce("write", errno.ENOSPC, event="write_compressed")
    target = t.node("target0", size=MiB, fault=once)
    full = t.node("full", size=MiB, fault=FailAlways("write", errno.ENOSPC, event="write_compressed"))

    t.step("stopped when the data was written")
    job = t.blockdev_backup(disk, target, compress=True, on_target_error="enospc")
    job.stopped("write")
    job.expect_query(status="paused", io_status="nospace")
    job.resume()
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Input/output error", len=MiB)

    t.step("reported")
    job = t.blockdev_backup(disk, full, compress=True)
    job.wait().expect(error="No space left on device", len=MiB, offset=0)

    t.step("the disk can be backed up compressed to a good one")
    disk.write(0x22, offset=0, length=64 * KiB)
    job = t.drive_backup(disk, "good.img", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(disk)
    job.target.expect_clean()
