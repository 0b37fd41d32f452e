"""A qcow2 target with a data file of its own takes compress, and fails at the first cluster that has data."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CMP-09", "POL-02", "CBW-07"], groups=["compress", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=2 * MiB, length=MiB)
    before = disk.content
    target = t.image("target.img", size=4 * MiB, options={"data_file": "data.raw"})

    t.step("a guest's write fails as the copy before it does; the job goes on")
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True, speed=64 * KiB)
    disk.write(0x22, offset=2 * MiB, length=4 * KiB, expect="Operation not supported")
    disk.read(0x11, offset=2 * MiB, length=64 * KiB)
    disk.write(0x22, offset=3 * MiB, length=4 * KiB)
    job.expect_query(status="running", io_status="ok")

    t.step("the job fails as well")
    job.set_speed(0)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Operation not supported", len=4 * MiB, offset=between(64 * KiB, 3 * MiB))
    target.expect_clean()
    t.expect("size of data.raw", t.existing_image("data.raw", format="raw").path.stat().st_size, 4 * MiB)

    t.step("without compress it is an ordinary target")
    job = t.drive_backup(disk, target, mode="existing", format="qcow2")
    job.wait().expect_completed()
    expected = before.written(0x22, 3 * MiB, 4 * KiB)
    t.existing_image("data.raw", format="raw").expect_identical(expected)
    target.expect_clean()

    t.step("a disk without data never meets the difference")
    disk.write_zeroes(offset=0, length=4 * MiB)
    empty = t.image("empty.img", size=4 * MiB, options={"data_file": "empty.raw"})
    t.drive_backup(disk, empty, mode="existing", format="qcow2", compress=True).wait().expect_completed()
    t.existing_image("empty.raw", format="raw").expect_identical(disk)
