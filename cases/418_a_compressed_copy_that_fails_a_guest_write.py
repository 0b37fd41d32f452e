"""A compressed copy that fails costs the guest's write, and for good: its cluster is used up, for the job as well."""

import errno

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CMP-16", "CMP-07", "CBW-07", "CBW-08"], groups=["nbd", "cbw", "compress", "error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB, format="qcow2")
    job = t.backup(disk, target, speed=64 * KiB, compress=True)

    t.step("a good copy first, then the data of one fails")
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    target.fail("write", errno.ENOSPC, times=1)
    disk.write(0x22, offset=3 * MiB, length=4 * KiB, expect="No space left on device")
    disk.read(0x11, offset=3 * MiB, length=64 * KiB)
    job.expect_query(status="running", io_status="ok")

    t.step("the server is well again, but the cluster has its place")
    disk.write(0x22, offset=3 * MiB, length=4 * KiB, expect="Input/output error")
    disk.write(0x22, offset=3 * MiB + 64 * KiB, length=4 * KiB)

    t.step("so the job fails")
    job.set_speed(0)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Input/output error", len=4 * MiB, offset=between(128 * KiB, 4 * MiB - 64 * KiB))
    disk.write(0x44, offset=3 * MiB, length=4 * KiB)

    t.step("into a new target all is well")
    job = t.drive_backup(disk, "new.img", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(disk)
    job.target.expect_clean()
    t.expect("the point in time was another", before == disk.content, False)
