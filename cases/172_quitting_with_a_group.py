"""quit cancels a whole group, those that wait and those that run, and leaves disks whole and what they owe in them."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["QUIT-01", "QUIT-02", "TXN-10", "BMP-17"], groups=["transaction", "quit", "persistent", "quick"])
def run(t: Case) -> None:
    disks = [t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)]
    owed = [disk.add_bitmap("b0", persistent=True) for disk in disks]
    for disk in disks:
        disk.write(0x11, offset=0, length=4 * MiB)
    jobs = t.transaction(
        t.drive_backup_action(disks[0], "target0.img", sync="incremental", bitmap=owed[0]),
        t.drive_backup_action(disks[1], "target1.img", sync="incremental", bitmap=owed[1], speed=64 * KiB),
        grouped=True,
    )
    jobs[0].reach("waiting")

    t.step("quit")
    reply_at = t.quit().reply_at
    for job in jobs:
        job.expect_cancelled()
        job.target.expect_clean()
    first = all(reply_at < job.state("aborting").at for job in jobs)
    last = all(reply_at > job.state("null").at for job in jobs)
    t.record("quit", {"answered": "before all jobs end" if first else "after all jobs ended" if last else "between"})
    jobs[0].expect(offset=4 * MiB)
    jobs[1].expect(offset=between(64 * KiB, 2 * MiB))
    for disk in disks:
        disk.image.expect_clean()
        disk.image.expect_identical(disk.content)

    t.step("started again, it still owes everything")
    t.start()
    for bitmap in owed:
        bitmap.expect(count=4 * MiB, busy=False, persistent=True)
