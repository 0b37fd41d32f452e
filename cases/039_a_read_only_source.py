"""A read-only disk can be backed up, and stays as it was."""

from backcheck import Case, MiB, case


@case(rules=["SYNC-17"], groups=["sync", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    image = t.image("disk0.img", size=MiB)
    image.write(0x11, offset=0, length=MiB)
    disk = t.drive("disk0", image=image, read_only="on")
    target = t.node("target0", size=MiB)

    t.step("by drive-backup, whose target is writable all the same")
    job = t.drive_backup(disk, "target.img")
    job.wait().expect_completed()
    job.target.expect_identical(image.content)

    t.step("by blockdev-backup")
    t.blockdev_backup(disk, target).wait().expect_completed()
    t.shutdown()
    t.existing_image("target0.img").expect_identical(image.content)
