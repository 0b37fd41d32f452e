"""Without a backing file sync=top is full for drive-backup; blockdev-backup copies only what the disk has allocated."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-04", "SYNC-05", "SYNC-08"], groups=["sync", "top", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=2 * MiB)
    disk.write(0x11, offset=512 * KiB, length=4 * KiB)
    disk.write(0x22, offset=MiB, length=128 * KiB)
    before = disk.content
    old = t.image("old.img", size=2 * MiB, format="qcow2")
    old.write(0x77)
    target = t.node("target0", size=2 * MiB, format="qcow2")

    t.step("drive-backup copies all of it")
    job = t.drive_backup(disk, "new.img", sync="top")
    job.wait().expect_completed().expect(len=2 * MiB, offset=2 * MiB)
    job.target.expect_identical(before)
    t.expect("backing of new.img", "backing-filename" in job.target.info(), False)

    t.step("also over what was there")
    job = t.drive_backup(disk, old, sync="top", mode="existing", format="qcow2")
    job.wait().expect_completed().expect(len=2 * MiB, offset=2 * MiB)
    old.expect_identical(before)

    t.step("blockdev-backup copies three clusters of a qcow2, and all of a raw file, where everything is allocated")
    allocated = 2 * MiB if t.format == "raw" else 3 * 64 * KiB
    job = t.blockdev_backup(disk, target, sync="top")
    job.wait().expect_completed().expect(len=allocated, offset=allocated)
    t.shutdown()
    target.expect_identical(before)
