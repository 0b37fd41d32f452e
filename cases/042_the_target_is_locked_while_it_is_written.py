"""A drive-backup's target is locked while the job runs, and closed, hence readable, when the job says it is done."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["TGT-15", "TGT-16"],
    groups=["target", "quick"],
    not_on={"qemu<6.0": "the target stays open until the job is dismissed (TGT-16)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("running: another process cannot have it")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB, auto_dismiss=False)
    t.expect("image tool's exit status", t.img("info", "target.img").status, 1)

    t.step("concluded, not yet dismissed: it can")
    job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(before)
    job.dismiss()
