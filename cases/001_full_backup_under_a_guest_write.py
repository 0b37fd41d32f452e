"""A full backup holds the disk as it was at the start, whatever the guest writes meanwhile."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["SYNC-01", "CBW-01", "EVT-02", "EVT-03", "EVT-04"],
    groups=["full", "cbw", "quick"],
    formats=["qcow2", "raw"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("the backup starts, slow enough to leave the end of the disk for later")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)
    t.expect_before(job.state("running"), job.reply)

    t.step("the guest writes where the backup has not been")
    disk.write(0x22, offset=3 * MiB + 4 * KiB, length=4 * KiB)
    disk.read(0x22, offset=3 * MiB + 4 * KiB, length=4 * KiB)

    t.step("the backup ends")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, speed=0, error=None)
    job.target.expect_identical(before)
    job.target.expect_clean()
