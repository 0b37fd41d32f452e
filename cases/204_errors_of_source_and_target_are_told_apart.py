"""Each side has its own policy: an error of the source never asks the target's, nor the other way round."""

import errno

from backcheck import Case, FailAlways, FailOnce, MiB, case

# One cluster has both faults, so that a try ends with one of them only.
READ = WRITE = 3 * MiB + 4096


@case(rules=["POL-01", "POL-02", "POL-03", "POL-04", "JOB-12"], groups=["error", "quick"])
def run(t: Case) -> None:
    once = FailOnce("read", errno.ENOSPC, offset=READ)
    disks = [t.drive(f"disk{number}", size=4 * MiB, format="raw", fault=once) for number in range(2)]
    bad = t.drive("bad", size=4 * MiB, format="raw", fault=FailAlways("read", errno.EIO, offset=READ))
    good = t.drive("good", size=4 * MiB)
    for drive in (*disks, bad, good):
        drive.image.write(0x11)
    broken = FailOnce("write", errno.EIO, offset=WRITE)
    targets = [t.node(f"target{number}", size=4 * MiB, format="raw", fault=broken) for number in range(4)]

    t.step("ignored at the source, and stopped by the target")
    job = t.blockdev_backup(disks[0], targets[0], on_source_error="ignore", on_target_error="stop")
    job.event("BLOCK_JOB_ERROR", operation="read", action="ignore")
    job.stopped("write")
    job.expect_query(io_status="failed")
    job.resume()
    job.wait().expect_completed()

    t.step("stopped by the source, and ignored at the target")
    job = t.blockdev_backup(disks[1], targets[1], on_source_error="stop", on_target_error="ignore")
    job.stopped("read")
    job.expect_query(io_status="nospace")
    job.resume()
    job.event("BLOCK_JOB_ERROR", operation="write", action="ignore")
    job.wait().expect_completed()

    t.step("the source reports though the target would ignore")
    job = t.blockdev_backup(bad, "target3", on_target_error="ignore", auto_dismiss=False)
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
    job.wait().expect(error="Input/output error")
    t.expect("error", job.query_job()["error"], "Input/output error")
    job.dismiss()

    t.step("the target reports though the source would stop")
    job = t.blockdev_backup(good, targets[2], on_source_error="stop", auto_dismiss=False)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Input/output error")
    job.expect_query(status="concluded", error="Input/output error", io_status="ok")
    job.dismiss()
    t.shutdown()
    for node, disk in zip(targets[:2], disks, strict=True):
        node.expect_identical(disk)
