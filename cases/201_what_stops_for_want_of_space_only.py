"""enospc and auto stop a job for want of space, and report every other error, whatever the drive's own werror says."""

import errno
from typing import Literal

from backcheck import Case, FailAlways, FailOnce, MiB, case

POLICIES: tuple[Literal["enospc", "auto"], ...] = ("enospc", "auto")


@case(rules=["POL-06", "POL-04", "POL-05", "POL-02"], groups=["error", "quick"])
def run(t: Case) -> None:
    unreadable = FailOnce("read", errno.ENOSPC, offset=MiB)
    disk = t.drive("disk0", size=2 * MiB, werror="ignore", rerror="ignore")
    odd = [t.drive(f"odd-{name}", size=2 * MiB, format="raw", fault=unreadable, werror="report") for name in POLICIES]
    for drive in (disk, *odd):
        drive.image.write(0x11)
    full = [t.node(f"full-{name}", size=2 * MiB, fault=FailOnce("write", errno.ENOSPC)) for name in POLICIES]
    broken = t.node("broken", size=2 * MiB, fault=FailAlways("write", errno.EIO))
    target = t.node("target0", tree={"driver": "null-co", "size": 2 * MiB})

    for policy, short, source in zip(POLICIES, full, odd, strict=True):
        t.step(f"{policy}: a full target stops the job")
        job = t.blockdev_backup(disk, short, on_target_error=policy, on_source_error="report")
        job.stopped("write")
        job.expect_query(status="paused", paused=True, io_status="nospace")
        job.resume()
        job.wait().expect_completed().expect(len=2 * MiB)

        t.step(f"{policy}: any other error ends it")
        job = t.blockdev_backup(disk, broken, on_target_error=policy)
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
        job.wait().expect(error="Input/output error", len=2 * MiB)

        t.step(f"{policy}: it is the number of the error that counts, also when it comes from a source")
        job = t.blockdev_backup(source, target, on_source_error=policy, on_target_error="report")
        job.stopped("read")
        job.expect_query(status="paused", io_status="nospace")
        job.resume()
        job.wait().expect_completed()

    t.shutdown()
    for node in full:
        node.expect_identical(disk)
