"""A guest's zero write, with or without unmap, copies the old data first and then zeroes."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-01", "CBW-05"], groups=["cbw", "zero", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB, discard="unmap")
    disk.write(0x11, offset=0, length=8 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=1)
    start = job.wait_offset()

    t.step("within a cluster")
    disk.write_zeroes(offset=5 * MiB + 4 * KiB, length=4 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 64 * KiB)

    t.step("whole clusters, unmapped")
    disk.write_zeroes(offset=6 * MiB, length=256 * KiB, unmap=True)
    t.expect("bytes copied for the guest", job.offset() - start, 320 * KiB)
    disk.read(0x00, offset=6 * MiB, length=256 * KiB)

    t.step("the target has the data")
    job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(before)
