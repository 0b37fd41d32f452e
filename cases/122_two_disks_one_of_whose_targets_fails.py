"""Two disks are backed up as one: when one target fails neither backup counts, and the next night makes up for both."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, case


@case(
    rules=["TXN-07", "TXN-09", "BMP-02", "BMP-05", "SYNC-11"],
    groups=["transaction", "bitmap", "story", "quick"],
)
def run(t: Case) -> None:
    system, data = t.drive("system", size=4 * MiB), t.drive("data", size=4 * MiB)
    for disk in (system, data):
        disk.write(0x11, offset=0, length=4 * MiB)

    t.step("the first night: both disks whole, and from that moment on bitmaps")
    owed = [t.bitmap(disk, "night") for disk in (system, data)]
    jobs = t.transaction(
        *(disk.add_bitmap_action("night") for disk in (system, data)),
        *(t.drive_backup_action(disk, f"{disk.id}-full.img") for disk in (system, data)),
    )
    for job in jobs:
        job.wait().expect_completed()
    system.write(0x22, offset=MiB, length=128 * KiB)
    data.write(0x33, offset=0, length=MiB)
    data.write(0x33, offset=3 * MiB, length=4 * KiB)

    t.step("the second night: the system's is done and waits for the data's, whose target breaks")
    t.node("broken0", size=4 * MiB, format="raw", fault=FailAlways("write", errno.EIO, offset=3 * MiB))
    for disk, job in zip((system, data), jobs, strict=True):
        t.image(f"{disk.id}-night.img", backing=job.target)
    jobs = t.transaction(
        t.drive_backup_action(system, "system-night.img", sync="incremental", bitmap=owed[0], mode="existing"),
        t.blockdev_backup_action(data, "broken0", sync="incremental", bitmap=owed[1], speed=64 * KiB),
        grouped=True,
    )
    jobs[0].reach("waiting")
    system.write(0x44, offset=2 * MiB, length=4 * KiB)
    data.write(0x55, offset=2 * MiB, length=4 * KiB)
    jobs[1].set_speed(0)
    jobs[1].event("BLOCK_JOB_ERROR", operation="write", action="report")
    jobs[1].wait().expect(error="Input/output error", len=MiB + 64 * KiB)
    jobs[0].wait().expect_cancelled().expect(len=128 * KiB, offset=128 * KiB, error=None)

    t.step("both bitmaps owe what they owed, and what was written since")
    owed[0].expect(count=192 * KiB, busy=False, recording=True)
    owed[1].expect(count=MiB + 128 * KiB, busy=False, recording=True)

    t.step("the third night makes up for it, for both")
    content = [disk.content for disk in (system, data)]
    jobs = t.transaction(
        *(
            t.drive_backup_action(disk, f"{disk.id}-night.img", sync="incremental", bitmap=bitmap, mode="existing")
            for disk, bitmap in zip((system, data), owed, strict=True)
        ),
        grouped=True,
    )
    for job, length, before in zip(jobs, (192 * KiB, MiB + 128 * KiB), content, strict=True):
        job.wait().expect_completed().expect(len=length)
        job.target.expect_identical(before)
    for bitmap in owed:
        bitmap.expect(count=0, busy=False, recording=True)
