"""When the old data cannot be copied the guest's write fails, the job goes on, and the cluster stays to be copied."""

import errno

from backcheck import Case, FailOnce, MiB, case


@case(rules=["CBW-07", "CBW-08"], groups=["cbw", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    before = disk.content
    fault = FailOnce("write", errno.EIO, offset=6 * MiB)
    target = t.node("target0", size=8 * MiB, format="raw", fault=fault)
    job = t.blockdev_backup(disk, target, speed=1, on_source_error="stop", on_target_error="stop")
    start = job.wait_offset()

    t.step("the guest gets the error; the job has none, whatever its policies")
    disk.write(0x22, offset=6 * MiB, length=512, expect="Input/output error")
    disk.read(0x11, offset=6 * MiB, length=512)
    job.expect_query(status="running", io_status="ok", paused=False)
    t.expect("bytes copied for the guest", job.offset() - start, 0)

    t.step("the guest tries again and succeeds")
    disk.write(0x22, offset=6 * MiB, length=512)

    t.step("the target has the old data")
    job.set_speed(0)
    job.wait().expect_completed()
    t.shutdown()
    t.existing_image("target0.img", format="raw").expect_identical(before)
