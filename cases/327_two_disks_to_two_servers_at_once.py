"""Two disks go to two servers at one moment; grouped, the one whose server fails takes the other along."""

import errno

from backcheck import Case, KiB, MiB, between, case


@case(rules=["TXN-07", "TXN-09", "POL-02", "SYNC-01"], groups=["nbd", "target", "transaction", "error"])
def run(t: Case) -> None:
    disks = [t.drive(name, size=4 * MiB) for name in ("disk0", "disk1")]
    for disk, pattern in zip(disks, (0x11, 0x22), strict=True):
        disk.write(pattern, offset=0, length=4 * MiB)
    before = [disk.content for disk in disks]
    remote = [t.recording_target(name, size=4 * MiB) for name in ("remote0", "remote1")]

    t.step("both succeed")
    actions = [t.blockdev_backup_action(*pair, speed=64 * KiB) for pair in zip(disks, remote, strict=True)]
    jobs = t.transaction(*actions, grouped=True)
    for disk in disks:
        disk.write(0x33, offset=3 * MiB, length=MiB)
    for job in jobs:
        job.set_speed(0)
    for job in jobs:
        job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    for target, content in zip(remote, before, strict=True):
        target.expect_identical(content)
        target.expect_written_once()
        target.forget()

    t.step("one server has no room for the last of it, when the other disk is done")
    held = remote[0].hold("write", offset=3 * MiB)
    actions = [t.blockdev_backup_action(*pair) for pair in zip(disks, remote, strict=True)]
    failing, other = t.transaction(*actions, grouped=True)
    held.wait()
    other.reach("waiting")
    held.fail(errno.ENOSPC)
    failing.event("BLOCK_JOB_ERROR", operation="write", action="report")
    failing.wait().expect(len=4 * MiB, offset=between(0, 4 * MiB - 64 * KiB), error="No space left on device")
    other.wait().expect_cancelled().expect(len=4 * MiB, offset=4 * MiB)

    t.step("it has been given some room")
    actions = [t.blockdev_backup_action(*pair) for pair in zip(disks, remote, strict=True)]
    for job in t.transaction(*actions, grouped=True):
        job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    for target, disk in zip(remote, disks, strict=True):
        target.expect_identical(disk)
