"""A target must be exactly as long as the source; one that was opened, or created before this, stays behind."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ERR-30", "SIZE-09", "ERR-34", "ERR-36"], groups=["error", "size", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content
    differ = "Source and target image have different sizes"

    t.step("existing images")
    for size in (MiB - 512, MiB + 512, 2 * MiB, 0):
        image = t.image(f"size-{size}.img", size=size)
        t.expect_error(
            "drive-backup",
            {"device": "disk0", "target": image.name, "format": t.format, "mode": "existing", "sync": "full"},
            error=differ,
        )
        t.expect(f"size of {image.name}", image.info()["virtual-size"], size)

    t.step("nodes")
    for size in (MiB - 64 * KiB, MiB + 64 * KiB):
        t.node(f"target-{size}", size=size)
        t.expect_error("blockdev-backup", device="disk0", target=f"target-{size}", sync="full", error=differ)

    t.step("the right size at once succeeds")
    right = t.image("right.img", size=MiB)
    t.drive_backup(disk, "right.img", mode="existing", format=t.format).wait().expect_completed()
    right.expect_identical(before)
