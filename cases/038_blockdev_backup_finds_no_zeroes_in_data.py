"""blockdev-backup leaves zeroes in data as data, unless the target's node detects them."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-14"], groups=["sync", "zero", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=MiB)
    source.write(0x00, offset=128 * KiB, length=128 * KiB)
    disk = t.drive("disk0", image=source)
    t.drive("plain", size=MiB)
    t.drive("detecting", size=MiB, detect_zeroes="on")
    t.drive("unmapping", size=MiB, detect_zeroes="unmap", discard="unmap")
    for target in ("plain", "detecting", "unmapping"):
        t.step(f"the target {target}")
        t.blockdev_backup(disk, target).wait().expect_completed().expect(len=MiB, offset=MiB)

    t.step("only the plain one has data")
    t.shutdown()
    for target in ("plain", "detecting", "unmapping"):
        image = t.existing_image(f"{target}.img")
        image.expect_identical(source.content)
        image.record_map()
