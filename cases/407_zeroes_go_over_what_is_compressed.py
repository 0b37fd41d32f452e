"""Where the disk is zero a compressed backup goes over anything, and gives compressed clusters up."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CMP-07", "CMP-03", "CMP-08", "SYNC-02"], groups=["compress", "full", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=3 * MiB, length=512 * KiB)
    target = t.image("target.img", size=4 * MiB, format="qcow2")
    t.io("-f", "qcow2", "-c", "write -c -P 0x55 0 1M", "-c", "write -P 0x66 1M 1M", target.name)
    t.expect_state("target.img before", target.check(), allocated_clusters=32, compressed_clusters=16)

    t.step("the disk is zero wherever the target has something")
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    target.expect_identical(disk)
    target.expect_clean()
    t.expect_state("target.img", target.check(), compressed_clusters=8)

    t.step("and now it is not")
    disk.write(0x22, offset=0, length=4 * KiB)
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Input/output error", offset=between(64 * KiB, 4 * MiB - 512 * KiB))
    target.expect_clean()
    t.expect_state("target.img", target.check(), compressed_clusters=9)
