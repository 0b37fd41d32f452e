"""The target's disk is full half way: the job waits, as often as it is resumed too early, until there is room."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, case


@case(rules=["POL-04", "POL-05", "POL-06", "POL-11", "CBW-07", "CBW-08"], groups=["error", "story"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    full = [FailAlways("write", errno.ENOSPC, offset=at * MiB, until="flush_to_os") for at in (2, 3)]
    target = t.drive("target0", size=4 * MiB, format="raw", fault=full)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("the night's backup finds the disk full, and waits")
    job = t.blockdev_backup(disk, target, on_target_error="enospc", speed=64 * MiB)
    job.stopped("write")
    job.expect_query(status="paused", paused=True, busy=False, io_status="nospace", speed=64 * MiB)
    job.expect_refused("pause")

    t.step("meanwhile a guest's write that needs a copy there is refused as well, and one elsewhere is not")
    disk.write(0x22, offset=3 * MiB, length=4 * KiB, expect="No space left on device")
    disk.write(0x22, offset=64 * KiB, length=4 * KiB)

    t.step("the operator is in a hurry: the job is slowed down and resumed, with no room made")
    job.set_speed(32 * MiB)
    job.expect_query(status="paused", io_status="nospace", speed=32 * MiB)
    job.resume("block-job")
    job.stopped("write")
    job.expect_query(status="paused", io_status="nospace")

    t.step("there is room: what waits for the job is still there, and now the guest's write goes through")
    target.flush()
    job.expect_query(status="paused", io_status="nospace")
    disk.write(0x22, offset=3 * MiB, length=4 * KiB)
    job.resume()
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, speed=32 * MiB)

    t.step("the copy is whole")
    t.shutdown()
    target.expect_identical(before)
    disk.image.expect_identical(disk)
