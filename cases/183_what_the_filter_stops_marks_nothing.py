"""A request that the job's filter drops or fails never comes to the disk, and its bitmap knows nothing of it."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["BMP-02", "BMP-20", "CBW-04", "CBW-07", "CBW-08"], groups=["bitmap", "cbw", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, discard="unmap")
    target = t.node("target0", size=4 * MiB, format="raw", fault=FailOnce("write", errno.EIO, offset=2 * MiB))
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    for offset in (0, 1 * MiB, 2 * MiB):
        disk.write(0x11, offset=offset, length=4 * KiB)
    before = disk.content
    job = t.blockdev_backup(disk, target, sync="incremental", bitmap="b0", speed=1)
    job.wait_offset()

    def expect_successor(count: int) -> None:
        found = [bitmap["count"] for bitmap in t.node_bitmaps(disk) if "name" not in bitmap and bitmap["recording"]]
        t.expect("count of the successor", found, [count])

    t.step("a discard is dropped, before and after the copy of its cluster, and where nothing is copied")
    for offset in (0, 1 * MiB, 3 * MiB):
        disk.discard(offset=offset, length=64 * KiB)
    expect_successor(0)

    t.step("a write whose old data cannot be copied fails; repeated it succeeds, and counts")
    disk.write(0x22, offset=2 * MiB + 32 * KiB, length=4 * KiB, expect="Input/output error")
    expect_successor(0)
    disk.write(0x22, offset=2 * MiB + 32 * KiB, length=4 * KiB)
    expect_successor(4 * KiB)

    t.step("zero writes and writes where nothing is copied count as ever")
    disk.write_zeroes(offset=1 * MiB, length=8 * KiB, unmap=True)
    disk.write(0x33, offset=3 * MiB, length=4 * KiB)
    expect_successor(16 * KiB)

    t.step("the job has copied what was there, and the rest is owed")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=192 * KiB, offset=192 * KiB)
    owed.expect(count=16 * KiB, busy=False)
    disk.discard(offset=0, length=64 * KiB)
    owed.expect(count=80 * KiB)
    t.shutdown()
    target.expect_identical(before)
