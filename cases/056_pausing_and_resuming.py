"""A job is paused once, by either family of commands, and resumed by either."""

from backcheck import Case, KiB, MiB, case


@case(rules=["JOB-04", "JOB-05", "SYNC-01"], groups=["job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=512 * KiB)

    t.step("paused by block-job-pause; a second pause is refused")
    job.pause("block-job")
    job.reach("paused")
    job.expect_query(status="paused", paused=True)
    job.expect_refused("pause")
    job.expect_refused("pause", "block-job")

    t.step("resumed by job-resume; a second resume is refused")
    job.resume("job")
    job.reach("running")
    job.expect_refused("resume")
    job.expect_refused("resume", "block-job")

    t.step("it ends as if nothing had been")
    job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(before)
