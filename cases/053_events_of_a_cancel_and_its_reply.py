"""A job that only waits for its speed is gone when its cancel is answered, since 6.0; before, the reply came first."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["EVT-09"], groups=["event", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)
    job.wait_offset()
    t.poll(lambda: not job.query()["busy"], "the job to sleep")

    t.step("job-cancel")
    job.cancel()
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    gone = job.state("null")
    if t.release < (6, 0):
        t.expect_before(job.verb_reply, gone)
    else:
        t.expect_before(gone, job.verb_reply)
