"""A completed drive-backup has closed its target, and a kill takes nothing of it; a node's target has to be flushed."""

from backcheck import Case, KiB, MiB, case


@case(rules=["QUIT-10", "TGT-16", "TGT-18"], groups=["kill", "full", "target", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB + 512)
    target = t.drive("target0", size=4 * MiB + 512)
    disk.write(0x11, offset=0, length=3 * MiB)
    before = disk.content

    t.step("one backup of each kind is done, a third has just begun")
    closed = t.drive_backup(disk, "closed.img")
    closed.wait().expect_completed()
    small = t.drive_backup(disk, "compressed.img", compress=True)
    small.wait().expect_completed()
    t.blockdev_backup(disk, target).wait().expect_completed()
    target.flush()
    disk.write(0x22, offset=0, length=64 * KiB)
    disk.flush()
    begun = t.drive_backup(disk, "begun.img", speed=1)
    begun.wait_asleep()

    t.step("killed")
    t.kill()
    for image in (closed.target, small.target, target.image):
        image.expect_clean()
        image.expect_identical(before)
    disk.image.expect_clean()
    disk.image.expect_identical(disk.content)

    t.step("what had begun begins again")
    job = t.drive_backup(disk, begun.target)
    job.wait().expect_completed()
    job.target.expect_identical(disk.content)
