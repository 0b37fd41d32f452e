"""Increments can go into the full backup itself, raw or qcow2, which then is the disk of the last one."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-11", "SYNC-12", "BMP-03"], groups=["bitmap", "sync", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB + 512, discard="unmap")
    disk.write(0x11, offset=0, length=4 * MiB + 512)
    owed = disk.add_bitmap("b0", granularity=64 * KiB)

    t.step("full")
    owed.clear()
    full = t.drive_backup(disk, "full.img")
    full.wait().expect_completed()

    t.step("data, zeroes written and zeroes punched, and the last sector")
    disk.write(0x22, offset=MiB - 512, length=KiB)
    disk.write(0x00, offset=2 * MiB, length=128 * KiB)
    disk.write_zeroes(offset=3 * MiB, length=128 * KiB, unmap=True)
    disk.write(0x33, offset=4 * MiB, length=512)
    before = disk.content
    job = t.drive_backup(disk, full.target, sync="incremental", bitmap="b0", mode="existing", format=t.format, speed=1)
    disk.write(0x44, offset=3 * MiB, length=64 * KiB)
    disk.write(0x44, offset=512 * KiB, length=64 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=448 * KiB)
    full.target.expect_identical(before)

    t.step("once more, of what was written meanwhile")
    owed.expect(count=128 * KiB)
    before = disk.content
    job = t.drive_backup(disk, full.target, sync="incremental", bitmap="b0", mode="existing", format=t.format)
    job.wait().expect_completed().expect(len=128 * KiB)
    full.target.expect_identical(before)
    full.target.expect_clean()
