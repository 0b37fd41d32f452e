"""Two compressed backups begin at one moment; when they are grouped and one may not write, both end."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["TXN-01", "CMP-14", "CMP-07", "CMP-08"], groups=["compress", "transaction", "error"])
def run(t: Case) -> None:
    first = t.drive("disk0", size=4 * MiB)
    second = t.drive("disk1", size=4 * MiB)
    for disk in (first, second):
        disk.write(0x11, offset=0, length=4 * MiB)
    used = t.image("used.img", size=4 * MiB)
    t.io("-f", "qcow2", "-c", "write -c -P 0x55 0 64k", used.name)

    t.step("both")
    before = first.content
    jobs = t.transaction(
        t.drive_backup_action(first, "first.img", compress=True, speed=64 * KiB),
        t.drive_backup_action(second, "second.img", compress=True, speed=64 * KiB),
    )
    for disk in (first, second):
        disk.write(0x22, offset=3 * MiB, length=128 * KiB)
    for job in jobs:
        job.set_speed(0)
        job.wait().expect_completed()
        job.target.expect_identical(before)
        job.target.expect_clean()
        t.expect_state(job.target.name, job.target.check(), compressed_clusters=64)

    t.step("grouped, and the second target has something")
    good, bad = t.transaction(
        t.drive_backup_action(first, "third.img", compress=True, speed=64 * KiB),
        t.drive_backup_action(second, used, mode="existing", format="qcow2", compress=True),
        grouped=True,
    )
    bad.event("BLOCK_JOB_ERROR", operation="write", action="report")
    bad.wait().expect(error="Input/output error", offset=between(0, 4 * MiB - 64 * KiB))
    good.wait().expect_cancelled()

    t.step("both disks can be backed up compressed at once")
    for disk in (first, second):
        job = t.drive_backup(disk, f"again-{disk.id}.img", compress=True)
        job.wait().expect_completed()
        job.target.expect_identical(disk)
