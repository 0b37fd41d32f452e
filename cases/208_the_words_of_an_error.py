"""A job that fails tells its error in the words of the error's number, in its last event and in both queries."""

import errno

from backcheck import Case, FailAlways, MiB, case

WORDS = {
    errno.EIO: "Input/output error",
    errno.ENOSPC: "No space left on device",
    errno.EPERM: "Operation not permitted",
    errno.EROFS: "Read-only file system",
    errno.EFBIG: "File too large",
    errno.ENOTSUP: "Operation not supported",
    errno.EAGAIN: "Resource temporarily unavailable",
    errno.ETIMEDOUT: "Connection timed out",
    errno.ENOMEM: "Cannot allocate memory",
}


@case(rules=["POL-07", "POL-02", "JOB-12", "EVT-05"], groups=["error", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    for number, words in WORDS.items():
        name = errno.errorcode[number].lower()
        t.step(f"{name} of a target")
        target = t.node(f"target-{name}", size=MiB, format="raw", fault=FailAlways("write", number))
        job = t.blockdev_backup(disk, target, auto_dismiss=False, auto_finalize=False)
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
        job.wait().expect(error=words, len=MiB, offset=0)
        job.expect_query(status="concluded", error=words, io_status="ok", paused=False)
        t.expect_state("job", job.query_job(), status="concluded", error=words)
        job.dismiss()

    t.step("the disk can be written and backed up")
    disk.write(0x22, offset=0, length=4096)
    job = t.drive_backup(disk).wait().expect_completed()
    job.target.expect_identical(disk.content)
