"""A guest's write that waits for the background copy of its cluster makes its own try when that copy fails."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["CBW-11", "CBW-08", "POL-04", "POL-05"], groups=["cbw", "error", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.write(0x11)
    before = disk.content
    fault = FailOnce("write", errno.EIO)
    target = t.drive("target0", size=MiB, format="raw", fault=fault, breakpoints=True)

    t.step("the background copy of the cluster is held, and the guest's write waits for it")
    held = target.hold("write_aio")
    job = t.blockdev_backup(disk, target, on_target_error="stop")
    held.wait()
    request = disk.aio_write(0x22, offset=4 * KiB, length=4 * KiB)
    request.expect_waiting()

    t.step("the copy fails and stops the job; the guest's own copy of the cluster is good")
    held.release()
    request.wait()
    job.stopped("write")
    job.expect_query(status="paused", io_status="failed", offset=64 * KiB)

    t.step("the job copies the rest")
    job.resume()
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    t.shutdown()
    target.expect_identical(before)
    disk.image.expect_identical(disk)
