"""The new data of a guest reaches its disk only after the target has answered for the old data."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-01", "CBW-02"], groups=["nbd", "cbw", "quick"])
def run(t: Case) -> None:
    source = t.recording_target("source0", size=4 * MiB, node=False)
    disk = t.drive_over("disk0", source)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)
    source.forget()
    job = t.backup(disk, target, speed=64 * KiB)

    t.step("the guest writes into two clusters, and the target holds the old data of one")
    new = source.hold("write")
    old = target.hold("write", offset=3 * MiB + 64 * KiB, length=64 * KiB)
    request = disk.aio_write(0x22, offset=3 * MiB + 60 * KiB, length=8 * KiB)
    held = old.wait()
    request.expect_waiting()
    new.expect_none()

    t.step("the target has it, and the disk holds the new data")
    old.release()
    written = new.wait()
    t.expect_before(held.answered, written.arrived)
    t.expect("new data", [written.offset, written.length, written.pattern], [3 * MiB + 60 * KiB, 8 * KiB, 0x22])
    request.expect_waiting()
    new.release()
    request.wait()
    t.expect_before(written.answered, request.ended)

    t.step("a second write into them waits for nothing but the disk")
    target.forget()
    disk.write(0x33, offset=3 * MiB, length=128 * KiB)
    target.expect_untouched((3 * MiB, MiB))
    job.set_speed(0)
    job.wait().expect_completed()
    source.expect_read_once()
    target.expect_identical(before)
    source.expect_identical(disk)
