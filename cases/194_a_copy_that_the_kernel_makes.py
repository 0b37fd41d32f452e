"""With use-copy-range the kernel copies, and nobody looks for zeroes; compressed, a backup reads and writes."""

from backcheck import Case, Extent, KiB, MiB, case


@case(
    rules=["SYNC-13", "ARG-19", "ARG-24", "CBW-01"],
    groups=["sync", "zero", "compress"],
    requires=["argument:drive-backup.x-perf"],
)
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, offset=0, length=128 * KiB)
    source.write(0x00, offset=2 * MiB, length=256 * KiB)
    disk = t.drive("disk0", image=source)
    before = disk.content

    t.step("the kernel copies: zeroes that the source stores as data are data in the target")
    job = t.drive_backup(disk, "offloaded.img", x_perf={"use-copy-range": True}, speed=1)
    job.wait_offset()
    disk.write(0x22, offset=2 * MiB + 64 * KiB, length=4 * KiB)
    job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(before)
    job.target.expect_map(
        [
            Extent(start=0, length=128 * KiB, depth=0, zero=False, data=True),
            Extent(start=128 * KiB, length=2 * MiB - 128 * KiB, depth=0, zero=True, data=False),
            Extent(start=2 * MiB, length=256 * KiB, depth=0, zero=False, data=True),
            Extent(start=2 * MiB + 256 * KiB, length=2 * MiB - 256 * KiB, depth=0, zero=True, data=False),
        ]
    )

    t.step("what is compressed is read, and zeroes are found")
    before = disk.content
    job = t.drive_backup(disk, "compressed.img", x_perf={"use-copy-range": True}, compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(before)
    job.target.record_map()
