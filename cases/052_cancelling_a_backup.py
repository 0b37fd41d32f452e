"""A cancelled backup aborts and is BLOCK_JOB_CANCELLED, from whatever state; a paused one runs once more for it."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["EVT-06", "EVT-10", "JOB-07", "JOB-12", "EVT-15"], groups=["event", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    some = between(64 * KiB, 3 * MiB)

    t.step("while it runs, and waits for its speed")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=some, speed=64 * KiB, error=None)

    t.step("while it is paused")
    job = t.drive_backup(disk, "target.img", speed=512 * KiB)
    job.pause()
    job.reach("paused")
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=some)

    t.step("while it is pending: all is copied, and it is cancelled all the same")
    job = t.drive_backup(disk, "target.img", auto_finalize=False, auto_dismiss=False)
    job.wait()
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=4 * MiB)
    job.expect_query(status="concluded", error="Operation canceled")

    t.step("once concluded there is nothing to cancel")
    job.expect_refused("cancel")
    job.dismiss()
