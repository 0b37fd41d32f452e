"""quit ends a job as a cancel does, also for its stored bitmap: `always` keeps what was not copied, others all."""

from typing import Literal

from backcheck import Case, KiB, MiB, between, case

MODES: tuple[Literal["on-success", "never", "always"], ...] = ("on-success", "never", "always")


@case(rules=["QUIT-01", "QUIT-08", "BMP-07", "BMP-17"], groups=["quit", "bitmap", "persistent", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(mode, size=4 * MiB) for mode in MODES]
    owed = [disk.add_bitmap("b0", granularity=64 * KiB, persistent=True) for disk in disks]
    for disk in disks:
        disk.write(0x11, offset=0, length=4 * MiB)
    jobs = [
        t.drive_backup(disk, f"target-{mode}.img", sync="bitmap", bitmap=bitmap, bitmap_mode=mode, speed=1)
        for disk, bitmap, mode in zip(disks, owed, MODES, strict=True)
    ]
    copied = [job.wait_asleep() for job in jobs]

    t.step("the guest writes where the jobs have been, and quits")
    for disk in disks:
        disk.write(0x22, offset=0, length=4 * KiB)
    t.quit()
    for job, offset in zip(jobs, copied, strict=True):
        job.expect_cancelled().expect(len=4 * MiB, offset=between(offset, offset + 128 * KiB), error=None)
        job.target.expect_clean()
    for disk in disks:
        disk.image.expect_clean()
        disk.image.expect_identical(disk.content)
        t.expect("stored", [item["flags"] for item in disk.image.bitmaps()], [["auto"]])

    t.step("the next machine finds them")
    t.start()
    left = 4 * MiB - copied[2] + 64 * KiB
    owed[0].expect(count=4 * MiB)
    owed[1].expect(count=4 * MiB)
    owed[2].expect(count=between(left - 128 * KiB, left))
    left = owed[2].count
    for bitmap in owed:
        bitmap.expect(recording=True, busy=False, persistent=True, granularity=64 * KiB)

    t.step("`always`: what is left makes the target whole")
    job = t.drive_backup(disks[2], jobs[2].target, sync="incremental", bitmap=owed[2], mode="existing")
    job.wait().expect_completed().expect(len=between(left, left), offset=between(left, left))
    t.shutdown()
    job.target.expect_identical(disks[2])
