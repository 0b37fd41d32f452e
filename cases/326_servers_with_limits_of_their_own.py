"""A server may take large blocks only, or few bytes at once, or neither zeroes nor trims: a backup keeps to it."""

from backcheck import Case, KiB, MiB, case


@case(rules=["NBD-01", "SIZE-04", "SYNC-02"], groups=["nbd", "target", "size"])
def run(t: Case) -> None:
    size = 4 * MiB + 64 * KiB
    disk = t.drive("disk0", size=size)
    disk.write(0x11, offset=64 * KiB, length=MiB)
    disk.write(0x22, offset=3 * MiB, length=512)
    before = disk.content
    large = t.recording_target("large0", size=size, block_sizes=(4 * KiB, 64 * KiB, 32 * MiB))
    small = t.recording_target("small0", size=size, block_sizes=(1, 4 * KiB, 32 * KiB))
    plain = t.recording_target("plain0", size=size, without=("write-zeroes", "trim", "fua"), structured=False)

    t.step("blocks of 4 KiB at least")
    job = t.blockdev_backup(disk, large)
    disk.write(0x33, offset=2 * MiB + 512, length=512)
    job.wait().expect_completed().expect(len=size, offset=size)
    large.expect_identical(before)
    uneven = [str(request) for request in large.received("change") if request.offset % 4096 or request.length % 4096]
    t.expect("requests of uneven blocks", uneven, [])

    t.step("32 KiB at most")
    before = disk.content
    job = t.blockdev_backup(disk, small)
    job.wait().expect_completed().expect(len=size, offset=size)
    small.expect_identical(before)
    longest = max(request.length for request in small.received("write"))
    t.expect("bytes of the longest write", longest, 32 * KiB)

    t.step("no way to send zeroes but as data")
    job = t.blockdev_backup(disk, plain)
    job.wait().expect_completed().expect(len=size, offset=size)
    plain.expect_identical(before)
    plain.expect_written_once(operations=("write",))
    t.expect("other changes", len(plain.received("write-zeroes", "trim")), 0)
