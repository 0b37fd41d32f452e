"""A disabled bitmap is as good an input as any; its job records nothing for it, and leaves it disabled."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-02", "BMP-15"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    fixed = disk.add_bitmap("b0", granularity=64 * KiB)
    base = disk.content
    for offset in (0, 1 * MiB, 2 * MiB):
        disk.write(0x11, offset=offset, length=64 * KiB)
    fixed.disable()
    disk.write(0x22, offset=3 * MiB, length=64 * KiB)
    wanted = base
    for offset in (0, 1 * MiB, 2 * MiB):
        wanted = wanted.written(0x11, offset, 64 * KiB)

    t.step("used and kept: what is written meanwhile is nobody's")
    job = t.drive_backup(disk, "t0.img", sync="bitmap", bitmap="b0", bitmap_mode="never", speed=1)
    job.wait_offset()
    disk.write(0x33, offset=1 * MiB, length=64 * KiB)
    fixed.expect(count=192 * KiB, busy=True, recording=False)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=192 * KiB, offset=192 * KiB)
    fixed.expect(count=192 * KiB, busy=False, recording=False)
    job.target.expect_identical(wanted)

    t.step("cancelled: the same")
    job = t.drive_backup(disk, "t1.img", sync="incremental", bitmap="b0", speed=1)
    job.wait_offset()
    disk.write(0x44, offset=3 * MiB + 512 * KiB, length=64 * KiB)
    job.cancel()
    job.wait().expect_cancelled()
    fixed.expect(count=192 * KiB, busy=False, recording=False)

    t.step("used up: it owes nothing, is disabled still, and records when it is enabled")
    t.drive_backup(disk, "t2.img", sync="incremental", bitmap="b0").wait().expect_completed().expect(len=192 * KiB)
    fixed.expect(count=0, busy=False, recording=False)
    disk.write(0x55, offset=0, length=64 * KiB)
    fixed.expect(count=0)
    fixed.enable()
    disk.write(0x55, offset=0, length=64 * KiB)
    fixed.expect(count=64 * KiB, recording=True)
