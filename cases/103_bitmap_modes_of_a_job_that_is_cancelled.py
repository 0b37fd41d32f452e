"""After a cancel nothing owed is forgiven, except by `always`, which owes what was not copied and what was written."""

from typing import Literal

from backcheck import Case, KiB, MiB, case

OWED: dict[Literal["on-success", "always", "never"], int] = {
    "on-success": 24 * KiB,
    "always": 2 * 64 * KiB + 8 * KiB,
    "never": 24 * KiB,
}


@case(
    rules=["BMP-04", "BMP-05", "BMP-06", "BMP-07", "BMP-31", "EVT-14"],
    groups=["bitmap", "job", "quick"],
    formats=["qcow2", "raw"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    for mode, left in OWED.items():
        t.step(f"{mode}: of four clusters the job copies one, and one more for the guest")
        owed.clear()
        for offset in (0, 1 * MiB, 2 * MiB, 3 * MiB):
            disk.write(0x11, offset=offset, length=4 * KiB)
        job = t.drive_backup(disk, f"{mode}.img", sync="bitmap", bitmap="b0", bitmap_mode=mode, speed=1)
        job.wait_offset()
        disk.write(0x22, offset=2 * MiB + 32 * KiB, length=4 * KiB)
        disk.write(0x22, offset=3 * MiB + 512 * KiB, length=4 * KiB)
        owed.expect(count=16 * KiB, busy=True)

        t.step(f"{mode}: it is cancelled")
        job.cancel()
        job.wait().expect_cancelled().expect(len=256 * KiB, offset=128 * KiB)
        owed.expect(count=left, busy=False, recording=True)

    t.step("an incremental backup of what is owed, onto the cancelled one's target, makes up for it")
    before = disk.content
    job = t.drive_backup(disk, "never.img", sync="incremental", bitmap="b0", mode="existing", format=t.format)
    job.wait().expect_completed().expect(len=5 * 64 * KiB)
    job.target.expect_identical(before)
    owed.expect(count=0)
