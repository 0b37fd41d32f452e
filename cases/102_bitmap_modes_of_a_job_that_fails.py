"""After a failure nothing owed is forgiven, except by `always`, which owes what was not copied and what was written."""

import errno
from typing import Literal

from backcheck import Case, FailOnce, KiB, MiB, case

OWED: dict[Literal["on-success", "always", "never"], int] = {
    "on-success": 24 * KiB,
    "always": 64 * KiB + 8 * KiB,
    "never": 24 * KiB,
}


@case(rules=["BMP-04", "BMP-05", "BMP-06", "BMP-07", "BMP-31", "POL-14", "CBW-03"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    partial = disk.content
    for offset in (0, 1 * MiB, 2 * MiB):
        partial = partial.written(0x11, offset, 4 * KiB)
    targets = {
        mode: t.node(f"target-{mode}", size=4 * MiB, format="raw", fault=FailOnce("write", errno.EIO, offset=3 * MiB))
        for mode in OWED
    }
    for mode, left in OWED.items():
        t.step(f"{mode}: of four granules the last cannot be copied; one was copied for the guest")
        owed.clear()
        for offset in (0, 1 * MiB, 2 * MiB, 3 * MiB):
            disk.write(0x11, offset=offset, length=4 * KiB)
        job = t.blockdev_backup(disk, targets[mode], sync="bitmap", bitmap="b0", bitmap_mode=mode, speed=1)
        job.wait_offset()
        disk.write(0x22, offset=2 * MiB + 32 * KiB, length=4 * KiB)
        disk.write(0x22, offset=3 * MiB + 512 * KiB, length=4 * KiB)

        t.step(f"{mode}: it fails")
        job.set_speed(0)
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
        job.wait().expect(error="Input/output error", len=256 * KiB)
        owed.expect(count=left, busy=False, recording=True)

    t.step("the next incremental backup onto the same target makes up for it")
    job = t.blockdev_backup(disk, targets["never"], sync="incremental", bitmap="b0")
    job.wait().expect_completed().expect(len=5 * 64 * KiB, offset=5 * 64 * KiB)
    owed.expect(count=0)
    t.shutdown()
    targets["never"].expect_identical(disk.content)
    targets["on-success"].expect_identical(partial)
