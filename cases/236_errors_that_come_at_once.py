"""Errors that come before a request has waited for anything are errors as any: told one by one, and got over."""

import errno

from backcheck import Case, FailAlways, FailOnce, MiB, case


@case(rules=["POL-03", "POL-04", "POL-08", "POL-09", "CBW-07"], groups=["error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    once = FailOnce("write", errno.EIO, offset=MiB, immediately=True)
    patient = t.node("target0", size=4 * MiB, format="raw", fault=[once] * 5)
    always = FailAlways("write", errno.ENOSPC, immediately=True)
    full = t.node("target1", size=4 * MiB, format="raw", fault=always)
    bad = t.drive("disk1", size=4 * MiB, format="raw", fault=FailAlways("read", errno.EIO, immediately=True))
    bad.image.write(0x11)

    t.step("five in a row, ignored")
    job = t.blockdev_backup(disk, patient, on_target_error="ignore")
    for _ in range(5):
        job.event("BLOCK_JOB_ERROR", operation="write", action="ignore")
    job.wait().expect_completed().expect(len=4 * MiB)

    t.step("every write")
    job = t.blockdev_backup(disk, full, on_target_error="stop")
    job.stopped("write")
    job.expect_query(io_status="nospace", offset=0)
    disk.write(0x22, offset=0, length=512, expect="No space left on device")
    job.resume()
    job.stopped("write")
    job.cancel().wait().expect_cancelled().expect(offset=0)

    t.step("every read")
    job = t.blockdev_backup(bad, patient)
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
    job.wait().expect(error="Input/output error", offset=0)
    t.shutdown()
    patient.expect_identical(disk)
