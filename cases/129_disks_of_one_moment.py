"""Disks backed up in one transaction are of one moment, whatever their sizes, formats and speeds."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-01", "TXN-02"], groups=["transaction", "cbw", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disks = [
        t.drive("disk0", size=4 * MiB),
        t.drive("disk1", size=1000000),
        t.drive("disk2", size=4 * MiB, format="qcow2", options={"cluster_size": "512"}),
    ]
    for disk in disks:
        disk.write(0x11, offset=0, length=disk.content.size)
    owed = disks[2].add_bitmap("b0")
    disks[2].write(0x22, offset=2 * MiB + 512, length=512)
    before = [disk.content for disk in disks]

    t.step("they start together, and the guest writes to all of them at once")
    jobs = t.transaction(
        t.drive_backup_action(disks[0], "target0.img", speed=64 * KiB),
        t.drive_backup_action(disks[1], "target1.img", auto_finalize=False),
        t.drive_backup_action(disks[2], "target2.img", format="qcow2", bitmap=owed, bitmap_mode="on-success"),
    )
    for disk in disks:
        disk.write(0x33, offset=disk.content.size - 64 * KiB, length=64 * KiB)
        disk.write(0x44, offset=0, length=512)

    t.step("they end, each at its time")
    jobs[2].wait().expect_completed().expect(len=4 * MiB)
    jobs[1].wait().finalize().wait().expect_completed().expect(len=MiB)
    jobs[0].set_speed(0)
    jobs[0].wait().expect_completed().expect(len=4 * MiB)
    for job, content in zip(jobs, before, strict=True):
        job.target.expect_identical(content)

    t.step("the bitmap has what came after that moment, in its own granularity")
    owed.expect(count=68 * KiB, granularity=4 * KiB)
    for disk in disks:
        disk.read(0x44, offset=0, length=512)
        disk.read(0x33, offset=disk.content.size - 64 * KiB, length=64 * KiB)
