"""A guest's write into a cluster that is being copied waits for that copy, and there is no second one."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-11"], groups=["nbd", "cbw", "quick"])
def run(t: Case) -> None:
    source = t.recording_target("source0", size=4 * MiB, node=False)
    disk = t.drive_over("disk0", source)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)

    t.step("the background copy of the first cluster is under way")
    held = target.hold("write")
    job = t.backup(disk, target, speed=64 * KiB)
    copy = held.wait()
    t.expect("offset", copy.offset, 0)

    t.step("the guest writes into it")
    source.forget()
    request = disk.aio_write(0x22, offset=4 * KiB, length=4 * KiB)
    request.expect_waiting()
    source.expect_untouched()
    held.release()
    request.wait()
    (written,) = [item for item in source.received("write") if item.pattern == 0x22]
    t.expect_before(copy.answered, written.arrived)

    t.step("the backup ends")
    job.set_speed(0)
    job.wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(before)
