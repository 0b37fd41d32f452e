"""A job that stopped at a refused compressed write stops there again, however often it is resumed."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CMP-07", "CMP-16", "POL-04", "POL-05"], groups=["compress", "error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=64 * KiB)

    t.step("stop: resumed it stops again")
    target = t.image("target.img", size=4 * MiB)
    t.io("-f", "qcow2", "-c", "write -c -P 0x55 0 64k", target.name)
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True, on_target_error="stop")
    job.stopped("write")
    job.expect_query(status="paused", io_status="failed")
    for _ in range(2):
        job.resume()
        job.stopped("write")

    t.step("the guest cannot write there either, until the job is gone")
    disk.write(0x22, offset=4 * KiB, length=4 * KiB, expect="Input/output error")
    disk.write(0x22, offset=MiB, length=4 * KiB)
    job.cancel("block-job", force=True).wait().expect_cancelled().expect(offset=between(64 * KiB, 4 * MiB - 64 * KiB))
    disk.write(0x22, offset=4 * KiB, length=4 * KiB)
    target.expect_clean()

    t.step("without compress the target can be used")
    disk.write_zeroes(offset=0, length=64 * KiB)
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", on_target_error="stop")
    job.wait().expect_completed()
    target.expect_identical(disk)
    target.expect_clean()
