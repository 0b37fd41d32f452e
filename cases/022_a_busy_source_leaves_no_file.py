"""A source that another backup uses is refused before a target is made."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["ERR-11"],
    groups=["error", "job", "quick"],
    not_on={"qemu<6.0": "the refusal leaves the running job paused for ever (BUG-01)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)

    t.step("refused, whatever else is wrong with it")
    busy = "Node 'disk0' is busy: block device is in use by block job: backup"
    second = {"device": "disk0", "sync": "full", "job-id": "job1"}
    t.expect_error("drive-backup", {**second, "target": "second.img"}, error=busy)
    t.expect_error("drive-backup", {**second, "target": "second.img", "format": "nosuch"}, error=busy)
    t.expect_error("drive-backup", {**second, "target": "target.img", "mode": "existing"}, error=busy)
    t.expect("second.img exists", t.existing_image("second.img").exists(), False)

    t.step("the first one ends, and the disk is free")
    job.set_speed(0)
    job.wait().expect_completed()
    t.drive_backup(disk, "second.img", job_id="job1").wait().expect_completed()
