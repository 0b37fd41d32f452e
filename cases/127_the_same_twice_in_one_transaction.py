"""A job id, a target or a file that an earlier action of the transaction has taken is taken."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["TXN-14", "ERR-17", "ERR-28", "ERR-32"],
    groups=["transaction", "error", "quick"],
)
def run(t: Case) -> None:
    disks = [t.drive("disk0", size=MiB), t.drive("disk1", size=MiB)]
    target = t.node("target0", size=MiB)
    owed = disks[0].add_bitmap("b0")
    for disk in disks:
        disk.write(0x11, offset=0, length=128 * KiB)

    t.step("a job id")
    t.expect_transaction_error(
        t.drive_backup_action(disks[0], "first.img", job_id="job0"),
        t.drive_backup_action(disks[1], "second.img", job_id="job0"),
        error="Job ID 'job0' already in use",
    )

    t.step("a target")
    t.expect_transaction_error(
        *(t.blockdev_backup_action(disk, target) for disk in disks),
        error="Node 'target0' is busy: block device is in use by block job: backup",
    )

    t.step("a disk that is a target already")
    t.expect_transaction_error(
        t.blockdev_backup_action(disks[0], disks[1]),
        t.blockdev_backup_action(disks[1], target),
        error="Node 'disk1' is busy: block device is in use by block job: backup",
    )

    t.step("a bitmap")
    t.expect_transaction_error(
        t.drive_backup_action("disk0-node", "first.img", sync="incremental", bitmap=owed),
        t.drive_backup_action("disk0-node", "second.img", sync="incremental", bitmap=owed),
        error="Bitmap 'b0' is currently in use by another operation and cannot be used",
    )
    owed.expect(count=128 * KiB, busy=False)

    t.step("a filter's name")
    t.expect_transaction_error(
        *(t.drive_backup_action(disk, f"{disk.id}.copy", filter_node_name="filter0") for disk in disks),
    )

    t.step("each with its own, they go")
    jobs = t.transaction(t.drive_backup_action(disks[0], "first.img"), t.blockdev_backup_action(disks[1], target))
    for job in jobs:
        job.wait().expect_completed()
    jobs[0].target.expect_identical(disks[0].content)

    t.step("a file")
    t.expect_transaction_error(
        t.drive_backup_action(disks[0], "first.img"),
        t.drive_backup_action(disks[1], "first.img"),
        error='Failed to get "write" lock',
    )
    t.shutdown()
    target.expect_identical(disks[1].content)
