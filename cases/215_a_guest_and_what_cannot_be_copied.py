"""A guest's request that cannot be copied before fails with the errno of whichever side failed; discards never do."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, case


@case(rules=["CBW-07", "CBW-08", "CBW-04", "CBW-01"], groups=["cbw", "none", "error"])
def run(t: Case) -> None:
    bad = FailAlways("read", errno.EIO, offset=2 * MiB, until="flush_to_os")
    disk = t.drive("disk0", size=4 * MiB, format="raw", fault=bad, discard="unmap")
    disk.image.write(0x11)
    full = FailAlways("write", errno.ENOSPC, offset=3 * MiB, until="flush_to_os")
    target = t.drive("target0", size=4 * MiB, format="raw", fault=full)
    wanted = target.content
    job = t.blockdev_backup(disk, target, sync="none", on_source_error="stop", on_target_error="stop")

    t.step("a bad sector cannot be written over: its old data is to be copied, and cannot be read")
    disk.write(0x22, offset=2 * MiB, length=512, expect="Input/output error")
    disk.write(0x22, offset=2 * MiB + 60 * KiB, length=4 * KiB, expect="Input/output error")
    disk.write_zeroes(offset=2 * MiB, length=64 * KiB, expect="Input/output error")

    t.step("where the target is full")
    disk.write(0x22, offset=3 * MiB + 4 * KiB, length=512, expect="No space left on device")
    disk.write_zeroes(offset=3 * MiB - 512, length=KiB, unmap=True, expect="No space left on device")
    disk.read(0x11, offset=3 * MiB - 512, length=KiB)

    t.step("a discard is dropped, so it needs no copy; the next clusters are as good as any")
    disk.discard(offset=2 * MiB, length=2 * MiB)
    disk.write(0x22, offset=2 * MiB + 64 * KiB, length=512)
    disk.write(0x22, offset=3 * MiB + 127 * KiB, length=512)
    job.expect_query(status="running", io_status="ok", paused=False, offset=128 * KiB)

    t.step("both are mended: all can be written, and the target has what was there at the start")
    target.flush()
    disk.write_zeroes(offset=3 * MiB - 512, length=KiB)
    disk.flush()
    disk.write(0x22, offset=2 * MiB, length=512)
    job.cancel().wait().expect_cancelled().expect(offset=5 * 64 * KiB)
    t.shutdown()
    for offset, length in ((2 * MiB, 128 * KiB), (3 * MiB - 64 * KiB, 192 * KiB)):
        wanted = wanted.written(0x11, offset, length)
    target.expect_identical(wanted)
    disk.image.expect_identical(disk)
