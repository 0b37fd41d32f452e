"""SIGTERM, SIGINT and SIGHUP end the machine as quit does, whatever its jobs do; the disks are whole and owe all."""

import errno
import signal

from backcheck import Case, FailAlways, MiB, between, case


@case(rules=["QUIT-01", "QUIT-04", "QUIT-05", "BMP-17"], groups=["quit", "job", "persistent", "story"])
def run(t: Case) -> None:
    names = ("running", "paused", "stopped", "pending", "concluded")
    disks = [t.drive(name, size=4 * MiB) for name in names]
    for disk in disks:
        disk.image.write(0x11)
    t.node("broken", size=4 * MiB, fault=FailAlways("write", errno.ENOSPC))
    owed = disks[0].add_bitmap("b0", persistent=True)
    disks[0].write(0x22, offset=0, length=2 * MiB)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        t.step(f"{number.name}: a job in each state")
        jobs = [
            t.drive_backup(
                disks[0], "target-running.img", sync="bitmap", bitmap=owed, bitmap_mode="on-success", speed=1
            ),
            t.drive_backup(disks[1], "target-paused.img", speed=MiB),
            t.blockdev_backup(disks[2], "broken", on_target_error="stop"),
            t.drive_backup(disks[3], "target-pending.img", auto_finalize=False),
            t.drive_backup(disks[4], "target-concluded.img", auto_dismiss=False),
        ]
        jobs[1].pause().reach("paused")
        jobs[2].stopped("write")
        jobs[3].wait()
        jobs[4].wait().expect_completed()

        t.step(f"{number.name}: it comes")
        t.signal(number)
        for job in jobs[:4]:
            job.expect_cancelled().expect(offset=between(0, 4 * MiB), error=None)
        for disk in disks:
            disk.image.expect_clean()
            disk.image.expect_identical(disk.content)
        for name in ("running", "paused", "pending", "concluded"):
            t.existing_image(f"target-{name}.img").expect_clean()
        t.existing_image("target-concluded.img").expect_identical(disks[4].content)

        t.step(f"{number.name}: the next machine owes what the last did")
        t.start()
        owed.expect(count=2 * MiB, busy=False, persistent=True)
