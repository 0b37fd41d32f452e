"""With the source below the target, a guest's write waits until nobody reads that cluster through the target."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-15", "CBW-11"], groups=["cbw", "none", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB, breakpoints=True)
    overlay = t.image("overlay.img", size=MiB)
    target = t.drive("target0", image=overlay, backing="disk0-node")
    disk.write(0x11, offset=0, length=MiB)
    job = t.blockdev_backup(disk, target, sync="none")

    t.step("a read of the target has come down to the disk, and is held there")
    held = disk.hold("read_aio")
    reading = target.aio_read(0x11, offset=64 * KiB, length=64 * KiB)
    held.wait()

    t.step("a write of the same cluster has to wait, one of another does not")
    same = disk.aio_write(0x22, offset=96 * KiB, length=4 * KiB)
    other = disk.aio_write(0x22, offset=512 * KiB, length=4 * KiB)
    other.wait()
    same.expect_waiting()

    t.step("the reader gets old data, then the guest writes")
    held.release()
    reading.wait()
    same.wait()
    disk.read(0x22, offset=96 * KiB, length=4 * KiB)
    target.read(0x11, offset=64 * KiB, length=64 * KiB)
    target.read(0x11, offset=512 * KiB, length=64 * KiB)
    job.cancel().wait().expect_cancelled().expect(len=MiB, offset=128 * KiB)
