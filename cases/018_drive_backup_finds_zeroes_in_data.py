"""drive-backup writes what is all zeroes as zero clusters, also where the source stores it as data."""

from backcheck import Case, Extent, KiB, MiB, case


@case(rules=["SYNC-13", "ARG-24"], groups=["sync", "zero", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, offset=0, length=128 * KiB)
    source.write(0x00, offset=2 * MiB, length=128 * KiB)

    t.step("the source stores zeroes at 2 MiB")
    source.expect_map(
        [
            Extent(start=0, length=128 * KiB, depth=0, zero=False, data=True),
            Extent(start=128 * KiB, length=2 * MiB - 128 * KiB, depth=0, zero=True, data=False),
            Extent(start=2 * MiB, length=128 * KiB, depth=0, zero=False, data=True),
            Extent(start=2 * MiB + 128 * KiB, length=2 * MiB - 128 * KiB, depth=0, zero=True, data=False),
        ]
    )

    t.step("the target stores none; copy offload, which 5.2 tries first, looks at no data")
    disk = t.drive("disk0", image=source)
    job = t.drive_backup(disk, "target.img")
    job.wait().expect_completed()
    job.target.expect_identical(source.content)
    job.target.record_map()
