"""A successful job is created, running, paused, running, then answered; waiting, pending, then completed; gone."""

from backcheck import Case, KiB, MiB, case


@case(rules=["EVT-01", "EVT-02", "EVT-03", "EVT-04"], groups=["event", "quick"], keep_pairs=True)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)

    t.step("the start: the disk is drained while the filter goes in")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)
    t.expect_before(job.state("running"), job.reply)
    t.expect_before(job.state("paused"), job.reply)

    t.step("the end")
    job.set_speed(0)
    final = job.event("BLOCK_JOB_COMPLETED", device="job0", type="backup", len=4 * MiB, offset=4 * MiB, speed=0)
    t.expect_before(job.state("pending"), final)
    t.expect_before(final, job.state("concluded"))
    job.wait().expect_completed()
