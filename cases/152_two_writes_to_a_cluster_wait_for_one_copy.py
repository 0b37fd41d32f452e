"""Two guest writes to one cluster wait for the same copy."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-11", "CBW-01", "SYNC-09"], groups=["cbw", "none", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.write(0x11)
    target = t.drive("target0", size=MiB, format="raw", breakpoints=True)
    job = t.blockdev_backup(disk, target, sync="none")

    t.step("one copy for both, none for their neighbour")
    held = target.hold("write_aio")
    first = disk.aio_write(0x22, offset=64 * KiB, length=4 * KiB)
    held.wait()
    second = disk.aio_write(0x33, offset=96 * KiB, length=4 * KiB)
    other = disk.aio_write(0x44, offset=512 * KiB, length=4 * KiB)
    other.wait()
    first.expect_waiting()
    second.expect_waiting()
    t.expect("offset while it is held", job.offset(), 64 * KiB)
    held.release()
    first.wait()
    second.wait()
    t.expect("offset", job.offset(), 128 * KiB)

    t.step("one over two clusters waits for both")
    held = target.hold("write_aio")
    first = disk.aio_write(0x55, offset=256 * KiB, length=512)
    held.wait()
    second = disk.aio_write(0x66, offset=320 * KiB - 512, length=KiB)
    second.expect_waiting()
    held.release()
    first.wait()
    second.wait()
    job.cancel().wait().expect_cancelled().expect(offset=256 * KiB)
    disk.read(0x66, offset=320 * KiB - 512, length=KiB)

    t.step("the target has the old data of what was copied, and nothing else")
    t.shutdown()
    content = target.content
    for offset, length in ((64 * KiB, 64 * KiB), (256 * KiB, 128 * KiB), (512 * KiB, 64 * KiB)):
        content = content.written(0x11, offset, length)
    target.expect_identical(content)
