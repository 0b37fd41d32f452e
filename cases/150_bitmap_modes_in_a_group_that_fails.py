"""A member that copied all and is cancelled by its group settles its bitmap by its bitmap-mode, as in any failure."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, case


@case(rules=["TXN-09", "BMP-04", "BMP-05", "BMP-06"], groups=["transaction", "bitmap", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB) for number in range(5)]
    owed = [disk.add_bitmap("b0") for disk in disks]
    broken = t.node("target0", size=4 * MiB, format="raw", fault=FailAlways("write", errno.EIO, offset=3 * MiB))
    for disk in disks:
        disk.write(0x11, offset=0, length=MiB)
        disk.write(0x11, offset=3 * MiB, length=64 * KiB)

    t.step("four have copied all when the fifth fails; the guest has written to all of them")
    jobs = t.transaction(
        t.drive_backup_action(disks[0], "target-a.img", sync="bitmap", bitmap=owed[0], bitmap_mode="on-success"),
        t.drive_backup_action(disks[1], "target-b.img", sync="bitmap", bitmap=owed[1], bitmap_mode="never"),
        t.drive_backup_action(disks[2], "target-c.img", sync="bitmap", bitmap=owed[2], bitmap_mode="always"),
        t.drive_backup_action(disks[3], "target-d.img", sync="full", bitmap=owed[3], bitmap_mode="always"),
        t.blockdev_backup_action(disks[4], broken, sync="bitmap", bitmap=owed[4], bitmap_mode="always", speed=64 * KiB),
        grouped=True,
    )
    for job in jobs[:4]:
        job.reach("waiting")
    for disk in disks:
        disk.write(0x22, offset=2 * MiB, length=128 * KiB)
    jobs[4].set_speed(0)
    jobs[4].wait().expect(error="Input/output error")
    for job in jobs[:4]:
        job.wait().expect_cancelled()

    t.step("on-success and never owe all; always owes what was not copied")
    counts = (MiB + 192 * KiB, MiB + 192 * KiB, 128 * KiB, 128 * KiB, 192 * KiB)
    for bitmap, count in zip(owed, counts, strict=True):
        bitmap.expect(count=count, busy=False, recording=True)
