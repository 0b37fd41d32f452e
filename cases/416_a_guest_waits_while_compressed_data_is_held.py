"""A guest's write is not acknowledged as long as the target holds the compressed old data back."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-14", "CBW-01", "CBW-11"], groups=["nbd", "cbw", "compress", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB, format="qcow2")
    job = t.backup(disk, target, speed=64 * KiB, compress=True)
    # So that what is held is the guest's, and nothing of the job's own.
    job.pause().reach("paused")

    t.step("a copy before, so that the target has its tables")
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)

    t.step("the guest writes twice into a cluster, and the target keeps back what it is sent")
    held = target.hold("write")
    first = disk.aio_write(0x22, offset=3 * MiB + 4 * KiB, length=4 * KiB)
    old = held.wait()
    second = disk.aio_write(0x33, offset=3 * MiB + 32 * KiB, length=4 * KiB)
    first.expect_waiting()
    second.expect_waiting()
    t.expect("not the cluster as it was", old.length < 64 * KiB, True)

    t.step("the target lets it go")
    held.release()
    first.wait()
    second.wait()
    t.expect_before(old.answered, first.ended)
    t.expect_before(old.answered, second.ended)

    t.step("the backup ends")
    job.resume().set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    target.expect_stored_once()
    target.expect_identical(before)
    target.save().expect_clean()
