"""block-job-change, where there is one, is not for backups, and is refused by the verb table before that."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["JOB-08"], groups=["job", "release", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    change = {"id": "job0", "type": "mirror", "copy-mode": "write-blocking"}

    t.step("no job")
    t.expect_error("block-job-change", change)

    t.step("running")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB, auto_dismiss=False)
    t.expect_error("block-job-change", change)

    t.step("concluded")
    job.cancel()
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    t.expect_error("block-job-change", change)
    job.dismiss()
