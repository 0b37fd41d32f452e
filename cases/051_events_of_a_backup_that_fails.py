"""A backup that fails aborts without waiting or pending, whatever auto-finalize says, and completes with its error."""

import errno

from backcheck import Case, FailAlways, MiB, case


@case(rules=["EVT-05", "POL-01", "POL-02", "JOB-12"], groups=["event", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    broken = t.drive("disk1", size=MiB, fault=FailAlways("read", errno.EIO))
    disk.write(0x11, offset=0, length=MiB)
    broken.write(0x11, offset=0, length=MiB)
    target = t.node("target0", size=MiB)
    full = t.node("target1", size=MiB, format="raw", fault=FailAlways("write", errno.ENOSPC))

    t.step("the target refuses a write, for want of space")
    job = t.blockdev_backup(disk, full, auto_finalize=False)
    job.wait().expect(len=MiB, offset=0, error="No space left on device")

    t.step("the source cannot be read")
    job = t.blockdev_backup(broken, target, auto_finalize=False)
    job.wait().expect(len=MiB, offset=0, error="Input/output error")

    t.step("kept after the end, the job keeps its error")
    job = t.blockdev_backup(broken, target, auto_dismiss=False)
    job.wait()
    job.expect_query(status="concluded", error="Input/output error", io_status="ok")
    t.expect("error in query-jobs", job.query_job()["error"], "Input/output error")
    job.dismiss()
