"""Zeroes that a target refuses are errors of a write, retried like data; one that cannot make zeroes is sent them."""

import errno

from backcheck import Case, FailAlways, FailOnce, KiB, MiB, case


@case(rules=["POL-01", "POL-04", "POL-05", "SYNC-02"], groups=["error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=64 * KiB, length=64 * KiB)
    disk.write_zeroes(offset=2 * MiB, length=MiB)
    before = disk.content
    targets = []
    for number, fault in enumerate(
        (
            FailOnce("write-zeroes", errno.EIO, offset=2 * MiB),
            FailAlways("write-zeroes", errno.ENOSPC, offset=2 * MiB),
            FailAlways("write-zeroes", errno.ENOTSUP),
        )
    ):
        image = t.image(f"target{number}.img", size=4 * MiB, format="raw")
        image.write(0x77)
        targets.append(t.node(f"target{number}", image=image, fault=fault))

    t.step("stopped, and resumed")
    job = t.blockdev_backup(disk, targets[0], on_target_error="stop")
    job.stopped("write")
    job.expect_query(status="paused", io_status="failed")
    job.resume()
    job.wait().expect_completed().expect(len=4 * MiB)

    t.step("reported")
    job = t.blockdev_backup(disk, targets[1])
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="No space left on device", len=4 * MiB)

    t.step("zeroes are data for a target that knows no other")
    t.blockdev_backup(disk, targets[2]).wait().expect_completed()
    t.shutdown()
    for node in (targets[0], targets[2]):
        node.expect_identical(before)
