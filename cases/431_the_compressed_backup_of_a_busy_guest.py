"""A compressed backup of a busy guest, verified; refused a second time onto the same file; made again."""

from backcheck import Case, KiB, MiB, between, case


@case(
    rules=["CMP-07", "CMP-08", "CMP-14", "CMP-03", "CMP-05", "CBW-01", "POL-02", "TGT-01"],
    groups=["compress", "full", "cbw", "error", "quick"],
)
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, length=2 * MiB)
    source.write_noise(offset=2 * MiB, length=256 * KiB)
    disk = t.drive("disk0", image=source)
    before = disk.content

    t.step("the guest writes over data, over noise, over nothing")
    job = t.drive_backup(disk, "backup.img", format="qcow2", compress=True, speed=64 * KiB)
    for offset in (MiB + 512 * KiB, 2 * MiB + 60 * KiB, 3 * MiB):
        disk.write(0x22, offset=offset, length=8 * KiB)
        disk.read(0x22, offset=offset, length=8 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, error=None)
    backup = job.target
    backup.expect_identical(before)
    backup.expect_clean()
    t.expect_state("backup.img", backup.check(), allocated_clusters=36, compressed_clusters=32)
    disk.write_zeroes(offset=3 * MiB, length=64 * KiB)

    t.step("a second time onto it: each cluster is written once, and the job says so")
    job = t.drive_backup(disk, backup, mode="existing", format="qcow2", compress=True, auto_dismiss=False)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Input/output error", len=4 * MiB, offset=between(0, 2 * MiB))
    job.dismiss()
    backup.expect_identical(before)
    backup.expect_clean()
    t.expect_state("backup.img", backup.check(), allocated_clusters=36, compressed_clusters=32)
    disk.write(0x33, offset=0, length=4 * KiB)

    t.step("a new file of that name")
    job = t.drive_backup(disk, "backup.img", format="qcow2", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(disk)
    job.target.expect_clean()
    t.expect_state("backup.img", job.target.check(), allocated_clusters=36, compressed_clusters=34)
