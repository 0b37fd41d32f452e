"""io-status is ok, failed or nospace by the error that stopped the job; a resume makes it ok, other errors leave it."""

import errno

from backcheck import Case, FailOnce, MiB, case

STOPS = ((errno.EIO, "failed"), (errno.ENOSPC, "nospace"), (errno.EPERM, "failed"), (errno.EFBIG, "failed"))


@case(rules=["POL-04", "POL-05", "POL-11", "JOB-10"], groups=["error", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    faults = [FailOnce("write", number, offset=2 * MiB) for number, _ in STOPS]
    target = t.node("target0", size=4 * MiB, format="raw", fault=faults)
    ignored = t.node("target1", size=4 * MiB, format="raw", fault=FailOnce("write", errno.ENOSPC, offset=0))

    t.step("before any error")
    job = t.blockdev_backup(disk, target, on_target_error="stop", speed=1, auto_finalize=False)
    job.expect_query(status="running", io_status="ok")
    job.set_speed(0)

    for number, status in STOPS:
        t.step(f"stopped by {errno.errorcode[number]}")
        job.stopped("write")
        job.expect_query(status="paused", io_status=status)
        job.set_speed(0)
        job.expect_query(status="paused", io_status=status)
        job.resume()

    t.step("it ends, and nothing is left of them")
    job.wait()
    job.expect_query(status="pending", io_status="ok", offset=4 * MiB)
    job.finalize().wait().expect_completed().expect(error=None)

    t.step("an error that is ignored does not show")
    job = t.blockdev_backup(disk, ignored, on_target_error="ignore", auto_dismiss=False)
    job.event("BLOCK_JOB_ERROR", operation="write", action="ignore")
    job.wait().expect_completed()
    job.expect_query(status="concluded", io_status="ok")
    job.dismiss()
    t.shutdown()
    for node in (target, ignored):
        node.expect_identical(before)
