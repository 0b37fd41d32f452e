"""sync=none copies before a guest's write also while it is paused; a copy that fails costs that write, and no more."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["SYNC-09", "CBW-07", "CBW-08", "CBW-13", "JOB-17"], groups=["none", "cbw", "error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    fault = FailOnce("write", errno.ENOSPC, offset=2 * MiB)
    target = t.node("target0", size=4 * MiB, format="raw", fault=fault)
    wanted = target.content
    job = t.blockdev_backup(disk, target, sync="none", on_target_error="stop", on_source_error="stop")

    t.step("while it is paused")
    # Before 6.0 an idle job never tells that it is paused.
    tells = t.release >= (6, 0)
    job.pause()
    if tells:
        job.reach("paused")
    disk.write(0x22, offset=MiB, length=512)
    t.expect("offset", job.offset(), 64 * KiB)
    job.resume()
    if tells:
        job.reach("running")

    t.step("a copy of four clusters fails in the third: the guest's write does, and all is as it was")
    disk.write(0x22, offset=2 * MiB - 128 * KiB, length=256 * KiB, expect="No space left on device")
    disk.read(0x11, offset=2 * MiB - 128 * KiB, length=256 * KiB)
    job.expect_query(status="running", io_status="ok", paused=False)

    t.step("written again it is copied")
    disk.write(0x22, offset=2 * MiB - 128 * KiB, length=256 * KiB)
    disk.write_zeroes(offset=3 * MiB, length=64 * KiB)
    job.cancel().wait().expect_cancelled().expect(len=4 * MiB, offset=384 * KiB)
    t.shutdown()
    for offset, length in ((MiB, 64 * KiB), (2 * MiB - 128 * KiB, 256 * KiB), (3 * MiB, 64 * KiB)):
        wanted = wanted.written(0x11, offset, length)
    target.expect_identical(wanted)
