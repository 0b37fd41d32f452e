"""block-job-cancel refuses a paused job unless it is forced; job-cancel always forces."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["JOB-06", "EVT-10"], groups=["job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)

    t.step("refused, with force absent or false")
    job = t.drive_backup(disk, "target.img", speed=512 * KiB)
    job.pause()
    job.reach("paused")
    for more in ({}, {"force": False}):
        refused = job.expect_refused("cancel", "block-job", more)
        t.expect("description", refused.description, "The block job for device 'job0' is currently paused")

    t.step("forced")
    job.cancel("block-job", force=True)
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 3 * MiB))

    t.step("job-cancel has no force: it is always so")
    job = t.drive_backup(disk, "target.img", speed=512 * KiB)
    job.pause()
    job.reach("paused")
    t.expect_error("job-cancel", {"id": "job1", "force": False}, error="Parameter 'force' is unexpected")
    job.cancel()
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 3 * MiB))
