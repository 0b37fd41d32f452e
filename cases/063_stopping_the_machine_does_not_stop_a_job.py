"""stop and cont of the machine are not pause and resume of its jobs."""

from backcheck import Case, KiB, MiB, case


@case(rules=["JOB-18"], groups=["job", "machine", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    t.qmp("cont")
    t.wait_event("RESUME")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)

    t.step("stopped")
    t.qmp("stop")
    t.wait_event("STOP")
    job.expect_query(status="running", paused=False)

    t.step("the job ends all the same")
    job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(before)

    t.step("running again")
    t.qmp("cont")
    t.wait_event("RESUME")
