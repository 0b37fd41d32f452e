"""Two writes of a guest into one cluster wait for one copy of it; when it fails, the second makes its own."""

import errno

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-07", "CBW-08", "CBW-11"], groups=["nbd", "cbw", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)
    job = t.backup(disk, target, speed=64 * KiB)

    t.step("one copy, two writes")
    held = target.hold("write", offset=3 * MiB)
    first = disk.aio_write(0x22, offset=3 * MiB, length=4 * KiB)
    copy = held.wait()
    second = disk.aio_write(0x33, offset=3 * MiB + 32 * KiB, length=4 * KiB)
    second.expect_waiting()
    held.release()
    first.wait()
    second.wait()
    t.expect_before(copy.answered, second.ended)
    target.expect_written_once((3 * MiB, 64 * KiB), elsewhere=True)

    t.step("the copy fails: its write fails, the other one copies")
    held = target.hold("write", offset=2 * MiB, length=64 * KiB)
    again = target.hold("write", offset=2 * MiB, length=64 * KiB)
    first = disk.aio_write(0x22, offset=2 * MiB, length=4 * KiB)
    held.wait()
    second = disk.aio_write(0x33, offset=2 * MiB + 32 * KiB, length=8 * KiB)
    second.expect_waiting()
    held.fail(errno.EIO)
    first.wait(expect="Input/output error")
    again.wait()
    second.expect_waiting()
    again.release()
    second.wait()

    t.step("the backup ends")
    job.set_speed(0)
    job.wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(before)
