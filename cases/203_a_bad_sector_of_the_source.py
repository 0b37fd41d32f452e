"""A source with one bad sector: ignore tries it again and again, stop waits each time, report gives up."""

import errno

from backcheck import Case, FailAlways, FailOnce, KiB, MiB, case

BAD = 3 * MiB + 4 * KiB


@case(
    rules=["POL-01", "POL-02", "POL-03", "POL-04", "POL-05", "POL-09", "EVT-05"],
    groups=["error", "story", "quick"],
)
def run(t: Case) -> None:
    always = FailAlways("read", errno.EIO, offset=BAD, since="flush_to_os")
    disk = t.drive("disk0", size=4 * MiB, format="raw", fault=[*[FailOnce("read", errno.EIO, offset=BAD)] * 3, always])
    disk.image.write(0x11)

    t.step("ignore: three errors in a row, and the fourth try is good")
    job = t.drive_backup(disk, "ignore.img", on_source_error="ignore")
    for _ in range(3):
        job.event("BLOCK_JOB_ERROR", operation="read", action="ignore")
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(disk)

    t.step("now the sector is bad for good; stop: each resume comes back to it")
    disk.flush()
    job = t.drive_backup(disk, "stop.img", on_source_error="stop")
    for family in ("job", "block-job"):
        job.stopped("read")
        job.expect_query(status="paused", io_status="failed", paused=True)
        job.resume(family)
    job.stopped("read")
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, error=None)

    t.step("report, which is the default: it gives up, and the target stays as far as it came")
    job = t.drive_backup(disk, "report.img", format="qcow2")
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
    job.wait().expect(error="Input/output error", len=4 * MiB)
    job.target.expect_clean()

    t.step("the guest sees the same sector, and can write it, and goes on")
    disk.read(0x11, offset=BAD, length=512, expect="Input/output error")
    disk.write(0x22, offset=BAD, length=512)
    disk.read(0x11, offset=0, length=3 * MiB)
