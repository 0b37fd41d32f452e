"""Without grouping, jobs of one transaction are on their own: one fails, one is cancelled, the third succeeds."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, between, case


@case(rules=["TXN-10", "TXN-03"], groups=["transaction", "error", "bitmap", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB) for number in range(3)]
    broken = t.node("target0", size=4 * MiB, fault=FailAlways("write", errno.EIO))
    owed = [disk.add_bitmap("b0") for disk in disks]
    for disk in disks:
        disk.write(0x11, offset=0, length=4 * MiB)
    before = disks[2].content

    t.step("the first fails, the others go on")
    jobs = t.transaction(
        t.blockdev_backup_action(disks[0], broken, sync="incremental", bitmap=owed[0]),
        t.drive_backup_action(disks[1], "target1.img", sync="incremental", bitmap=owed[1], speed=64 * KiB),
        t.drive_backup_action(disks[2], "target2.img", sync="incremental", bitmap=owed[2], speed=64 * KiB),
    )
    jobs[0].wait().expect(error="Input/output error")
    for job, bitmap in zip(jobs[1:], owed[1:], strict=True):
        job.expect_query(status="running")
        bitmap.expect(busy=True)

    t.step("the second is cancelled, the third goes on")
    jobs[1].cancel()
    jobs[1].wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    jobs[2].expect_query(status="running")
    disks[2].write(0x22, offset=3 * MiB, length=4 * KiB)
    jobs[2].set_speed(0)
    jobs[2].wait().expect_completed().expect(len=4 * MiB)
    jobs[2].target.expect_identical(before)

    t.step("each bitmap has followed its own job")
    for bitmap, count in zip(owed, (4 * MiB, 4 * MiB, 64 * KiB), strict=True):
        bitmap.expect(count=count, busy=False)
