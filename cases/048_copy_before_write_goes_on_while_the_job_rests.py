"""A job that is paused or pending still copies old data before the guest overwrites it."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-13", "JOB-17", "SYNC-01"], groups=["cbw", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=512 * KiB, auto_finalize=False)

    t.step("paused")
    job.pause()
    job.reach("paused")
    start = job.offset()
    disk.write(0x22, offset=6 * MiB, length=4 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 64 * KiB)
    job.expect_query(status="paused", paused=True)

    t.step("pending: there is nothing left to copy, and the guest's writes do not reach the target")
    job.set_speed(0)
    job.resume()
    job.wait()
    job.expect_query(status="pending", len=8 * MiB, offset=8 * MiB)
    disk.write(0x33, offset=0, length=8 * MiB)

    t.step("the target has the start of the job")
    job.finalize().wait().expect_completed()
    job.target.expect_identical(before)
