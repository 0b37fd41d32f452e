"""With on-target-error=stop an error does not fail the group: it waits until the member is resumed."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["TXN-07", "POL-04", "POL-05"], groups=["transaction", "error", "quick"])
def run(t: Case) -> None:
    disks = [t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)]
    target = t.node("target0", size=4 * MiB, fault=FailOnce("write", errno.ENOSPC))
    for disk in disks:
        disk.write(0x11, offset=0, length=4 * MiB)
    before = [disk.content for disk in disks]

    t.step("one is done; the other has stopped, and takes nobody with it")
    jobs = t.transaction(
        t.drive_backup_action(disks[0], "target1.img"),
        t.blockdev_backup_action(disks[1], target, on_target_error="stop"),
        grouped=True,
    )
    jobs[1].event("BLOCK_JOB_ERROR", operation="write", action="stop")
    t.poll(lambda: jobs[1].query()["status"] == "paused", "the job to pause")
    jobs[1].expect_query(status="paused", io_status="nospace")
    jobs[0].reach("waiting")
    jobs[0].expect_query(status="waiting")
    for disk in disks:
        disk.write(0x22, offset=2 * MiB, length=4 * KiB)

    t.step("resumed, it lets both end")
    jobs[1].resume()
    for job in jobs:
        job.wait().expect_completed().expect(len=4 * MiB)
    jobs[0].target.expect_identical(before[0])
    t.shutdown()
    target.expect_identical(before[1])
