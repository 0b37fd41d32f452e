"""An error of the source's own tables is an error of reading: once read again the job goes on where it was."""

import errno

from backcheck import Case, FailAlways, FailOnce, MiB, case
from backcheck.story.faults import Fault


@case(rules=["POL-15", "POL-01", "POL-04", "POL-05", "SYNC-02"], groups=["error"])
def run(t: Case) -> None:
    faults: tuple[Fault, ...] = (
        FailOnce("read", errno.EIO, event="l2_load"),
        FailAlways("read", errno.EIO, event="l2_load", until="flush_to_os"),
        FailAlways("read", errno.EIO, event="l2_load"),
    )
    disks = []
    for number, fault in enumerate(faults):
        image = t.image(f"disk{number}.img", size=4 * MiB, format="qcow2")
        image.write(0x11, offset=MiB, length=MiB)
        disks.append(t.drive(f"disk{number}", image=image, fault=fault))

    t.step("asked where there is data, it fails; then it is read, which goes well")
    job = t.drive_backup(disks[0], on_source_error="stop")
    job.wait().expect_completed().expect(len=4 * MiB)
    job.target.expect_identical(disks[0])

    t.step("the read fails as well, until somebody mends it")
    job = t.drive_backup(disks[1], on_source_error="stop")
    job.stopped("read")
    job.expect_query(io_status="failed", offset=0)
    disks[1].flush()
    job.resume()
    job.wait().expect_completed().expect(len=4 * MiB)
    job.target.expect_identical(disks[1])

    t.step("always")
    job = t.drive_backup(disks[2])
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
    job.wait().expect(error="Input/output error", len=4 * MiB, offset=0)
    disks[2].read(0x11, offset=MiB, length=MiB, expect="Input/output error")
