"""During sync=top a guest's write copies what the overlay held before; what only the backing file has is not copied."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-14", "SYNC-06", "SYNC-08"], groups=["sync", "top", "cbw", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=8 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=0, length=6 * MiB)
    disk = t.drive("disk0", image=overlay, discard="unmap")
    before = disk.content
    job = t.drive_backup(disk, "target.img", sync="top", speed=1)
    start = job.wait_offset()

    def expect_copied(clusters: int) -> None:
        t.expect("bytes copied for the guest", job.offset() - start, clusters * 64 * KiB)

    t.step("a write into what the overlay does not have copies nothing")
    disk.write(0x33, offset=7 * MiB, length=64 * KiB)
    disk.write_zeroes(offset=7 * MiB + 512 * KiB, length=64 * KiB)
    expect_copied(0)

    t.step("one over the border copies only the cluster that the overlay had")
    disk.write(0x44, offset=6 * MiB - 4 * KiB, length=8 * KiB)
    expect_copied(1)

    t.step("zeroes are copied before, a discard is not heeded")
    disk.write_zeroes(offset=5 * MiB, length=128 * KiB, unmap=True)
    disk.discard(offset=4 * MiB, length=128 * KiB)
    disk.read(0x22, offset=4 * MiB, length=128 * KiB)
    expect_copied(3)

    t.step("the target holds the start")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=6 * MiB, offset=6 * MiB)
    job.target.expect_identical(before)
