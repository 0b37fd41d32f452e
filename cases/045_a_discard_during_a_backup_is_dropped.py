"""While a backup runs, a guest's discard succeeds and does nothing; afterwards it discards again."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-04"], groups=["cbw", "discard", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB, discard="unmap")
    disk.write(0x11, offset=0, length=8 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=1)
    start = job.wait_offset()

    t.step("during: the data stays, and is not copied for it")
    disk.discard(offset=6 * MiB, length=128 * KiB)
    disk.read(0x11, offset=6 * MiB, length=128 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 0)

    t.step("after: it goes")
    job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(before)
    disk.discard(offset=6 * MiB, length=128 * KiB)
    disk.read(0x00, offset=6 * MiB, length=128 * KiB)
