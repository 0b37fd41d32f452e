"""A guest's write is not acknowledged as long as the target holds the old data back."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-01"], groups=["nbd", "cbw", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)

    t.step("the backup starts, slow enough to leave the end of the disk for later")
    job = t.backup(disk, target, speed=64 * KiB)

    t.step("the guest writes, and the target keeps the old data back")
    held = target.hold("write", offset=3 * MiB)
    request = disk.aio_write(0x22, offset=3 * MiB + 4 * KiB, length=4 * KiB)
    old = held.wait()
    t.expect("old data", [old.offset, old.length, old.pattern], [3 * MiB, 64 * KiB, 0x11])
    request.expect_waiting()

    t.step("the target lets it go")
    held.release()
    request.wait()
    t.expect_before(old.answered, request.ended)

    t.step("the backup ends")
    job.set_speed(0)
    job.wait().expect_completed()
    target.expect_identical(before)
    target.expect_written_once()
