"""sync=top copies what the overlay holds, not what its bitmap has; unfinished with `always` it owes what it lacks."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-06", "BMP-08", "SYNC-06"], groups=["bitmap", "top", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11, offset=0, length=4 * MiB)
    overlay = t.image("disk0.img", backing=base)
    for offset in (0, 1 * MiB, 2 * MiB):
        overlay.write(0x22, offset=offset, length=64 * KiB)
    disk = t.drive("disk0", image=overlay)
    owed = disk.add_bitmap("b0", granularity=64 * KiB)
    disk.write(0x33, offset=0, length=4 * KiB)
    disk.write_zeroes(offset=3 * MiB, length=64 * KiB)

    t.step("cancelled after the first cluster: the overlay's other clusters are owed, the base's are not")
    job = t.drive_backup(disk, "t0.img", sync="top", bitmap="b0", bitmap_mode="always", speed=1)
    job.wait_offset()
    disk.write(0x44, offset=2 * MiB + 512 * KiB, length=64 * KiB)
    owed.expect(count=128 * KiB, busy=True)
    job.cancel()
    job.wait().expect_cancelled().expect(len=256 * KiB, offset=64 * KiB)
    owed.expect(count=256 * KiB, busy=False)

    t.step("what is owed completes the cancelled one's overlay")
    target = t.existing_image("t0.img", content=disk.content)
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", sync="incremental", bitmap="b0")
    job.wait().expect_completed().expect(len=256 * KiB)
    target.expect_identical(disk.content)
    owed.expect(count=0)

    t.step("finished with on-success it owes what was written since, though its bitmap had nothing")
    job = t.drive_backup(disk, "t1.img", sync="top", bitmap="b0", bitmap_mode="on-success", speed=1)
    job.wait_offset()
    before = disk.content
    disk.write(0x55, offset=1 * MiB, length=4 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=320 * KiB, offset=320 * KiB)
    owed.expect(count=64 * KiB)
    job.target.expect_identical(before)
