"""A device's limits make its guest wait, and not the backup of it; lifted, they let the guest go at once."""

from backcheck import Case, JsonObject, KiB, MiB, case

FREE: JsonObject = {"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}


@case(rules=["THR-04", "SYNC-01"], groups=["throttle", "full", "race"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=64 * KiB, auto_finalize=False)

    t.step("a byte a second: one write of the guest passes, the next would take hours")
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0", "bps": 1})
    disk.write(0x22, offset=3 * MiB, length=64 * KiB)
    request = disk.aio_write(0x33, offset=3 * MiB + 512 * KiB, length=4 * KiB)
    read = disk.aio_read(0x11, offset=2 * MiB, length=4 * KiB)
    request.expect_waiting()

    t.step("the job is not limited")
    job.set_speed(0)
    job.wait()
    request.expect_waiting()
    read.expect_waiting()

    t.step("the limits are lifted: the guest waits for no drain")
    t.qmp("block_set_io_throttle", {**FREE, "device": "disk0"})
    request.wait()
    read.wait()
    job.finalize()
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(before)
    t.shutdown()
    disk.image.expect_identical(disk.content)
