"""What the source does not allocate is written to the target as zero clusters, not skipped."""

from backcheck import Case, Extent, KiB, MiB, case


@case(rules=["SYNC-02", "SYNC-03"], groups=["sync", "zero", "quick"])
def run(t: Case) -> None:
    t.step("a disk with one cluster of data")
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=512 * KiB, length=64 * KiB)
    job = t.drive_backup(disk, "one.img", format="qcow2")
    job.wait().expect_completed()
    target = t.existing_image("one.img", format="qcow2")
    target.expect_map(
        [
            Extent(start=0, length=512 * KiB, depth=0, zero=True, data=False),
            Extent(start=512 * KiB, length=64 * KiB, depth=0, zero=False, data=True),
            Extent(start=576 * KiB, length=448 * KiB, depth=0, zero=True, data=False),
        ]
    )

    t.step("the zeroes are the target's own: they hide what a backing file would show")
    t.shutdown()
    t.image("below.img", size=MiB, format="raw").write(0x77, offset=0, length=MiB)
    t.img("rebase", "-u", "-f", "qcow2", "-b", "below.img", "-F", "raw", "one.img")
    target.expect_identical(disk.content)
