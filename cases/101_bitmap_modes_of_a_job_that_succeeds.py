"""After success `on-success` and `always` owe what was written since the start, `never` also what was owed before."""

from typing import Literal

from backcheck import Case, KiB, MiB, case

OWED: dict[Literal["on-success", "always", "never"], int] = {
    "on-success": 8 * KiB,
    "always": 8 * KiB,
    "never": 24 * KiB,
}


@case(rules=["BMP-03", "BMP-04", "SYNC-11", "SYNC-12"], groups=["bitmap", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    copied = disk.content
    for mode, left in OWED.items():
        t.step(f"{mode}: four granules are owed, two more are written meanwhile")
        owed.clear()
        for offset in (0, 1 * MiB, 2 * MiB, 3 * MiB):
            disk.write(0x11, offset=offset, length=4 * KiB)
            copied = copied.written(0x11, offset, 4 * KiB)
        job = t.drive_backup(disk, f"{mode}.img", sync="bitmap", bitmap="b0", bitmap_mode=mode, speed=1)
        job.wait_offset()
        disk.write(0x22, offset=2 * MiB + 32 * KiB, length=4 * KiB)
        disk.write(0x22, offset=3 * MiB + 512 * KiB, length=4 * KiB)
        owed.expect(count=16 * KiB, busy=True)

        t.step(f"{mode}: it copies the four clusters as they were, and no other")
        job.set_speed(0)
        job.wait().expect_completed().expect(len=256 * KiB, offset=256 * KiB)
        owed.expect(count=left, busy=False, recording=True)
        job.target.expect_identical(copied)
        copied = copied.written(0x22, 2 * MiB + 32 * KiB, 4 * KiB)
