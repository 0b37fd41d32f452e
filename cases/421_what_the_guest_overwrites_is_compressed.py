"""sync=none compresses what the guest overwrites, once, and nothing else; what it cannot is the guest's error."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-09", "SYNC-10", "CMP-14", "CMP-07", "CBW-07"], groups=["compress", "none", "cbw", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("the same cluster twice, two at once, one made zero")
    job = t.drive_backup(disk, "target.img", sync="none", compress=True)
    disk.write(0x22, offset=4 * KiB, length=4 * KiB)
    disk.write(0x33, offset=8 * KiB, length=4 * KiB)
    disk.write(0x22, offset=MiB + 60 * KiB, length=8 * KiB)
    disk.write_zeroes(offset=2 * MiB, length=64 * KiB)
    disk.discard(offset=3 * MiB, length=64 * KiB)
    job.cancel().wait().expect_cancelled().expect(len=4 * MiB, offset=256 * KiB)

    t.step("a second job onto it fails the guest's writes where it has something, and no other")
    job = t.drive_backup(disk, job.target, sync="none", mode="existing", format="qcow2", compress=True)
    disk.write(0x44, offset=0, length=512, expect="Input/output error")
    disk.read(0x11, offset=0, length=4 * KiB)
    disk.write_zeroes(offset=2 * MiB, length=64 * KiB)
    disk.write(0x11, offset=3 * MiB, length=512)
    job.expect_query(status="running", io_status="ok")
    job.cancel().wait().expect_cancelled()

    t.step("the target, over the disk, is the disk as it was where it was not zero then")
    t.shutdown()
    t.expect_state("target.img", job.target.check(), allocated_clusters=4, compressed_clusters=4)
    job.target.expect_clean()
    job.target.expect_identical(before.written(0, 2 * MiB, 64 * KiB))
