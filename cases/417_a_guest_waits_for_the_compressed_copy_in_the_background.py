"""A guest's write waits for the background's copy of its cluster, which is not compressed a second time."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-14", "CBW-11", "CMP-02"], groups=["nbd", "cbw", "compress", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=64 * KiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB, format="qcow2")

    t.step("the background's only data is held; the guest writes into its cluster")
    held = target.hold("write")
    job = t.backup(disk, target, speed=64 * KiB, compress=True)
    old = held.wait()
    request = disk.aio_write(0x22, offset=4 * KiB, length=4 * KiB)
    request.expect_waiting()

    t.step("let go")
    held.release()
    request.wait()
    t.expect_before(old.answered, request.ended)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    t.expect("clusters", len(target.expect_stored_once()), 1)
    target.expect_identical(before)
    target.save().expect_clean()
