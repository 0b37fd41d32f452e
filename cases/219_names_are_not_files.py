"""A running job has its files: to take a target's name away, to replace it or to protect it does not touch the job."""

import os

from backcheck import Case, MiB, case


@case(rules=["SYNC-01", "TGT-07"], groups=["target", "story"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, format="raw")
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    kept, protected = t.existing_image("kept.img", format="raw"), t.existing_image("protected.img", format="raw")

    t.step("the target is renamed, and another file takes its name; the job writes the one that it opened")
    job = t.drive_backup(disk, "target.img", speed=1)
    job.wait_offset()
    job.target.path.rename(kept.path)
    job.target.path.write_bytes(b"another file")
    disk.write(0x22, offset=3 * MiB, length=MiB)
    job.set_speed(0)
    job.wait().expect_completed()
    kept.expect_identical(before)
    t.expect("the other file", job.target.path.read_bytes().decode(), "another file")

    t.step("the target is made read-only: a file that is open stays open")
    job = t.drive_backup(disk, protected, speed=1)
    job.wait_offset()
    os.chmod(protected.path, 0o444)
    job.set_speed(0)
    job.wait().expect_completed()
    protected.expect_identical(disk.content)

    t.step("the source is cut short under its program: what is gone reads as zeroes, and the length is as it was")
    job = t.drive_backup(disk, "cut.img", speed=1)
    job.wait_offset()
    os.truncate(disk.image.path, 2 * MiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB)
    job.target.expect_identical(before.resized(2 * MiB).resized(4 * MiB))
