"""A target's own bitmap notes just what a backup copied, zeroes in it too; a target that detects them stores none."""

from backcheck import Case, KiB, MiB, case

CLUSTER = 64 * KiB


@case(rules=["BMP-20", "SYNC-14", "SYNC-11"], groups=["bitmap", "zero", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11)
    disk = t.drive("disk0", image=source)
    target = t.drive("target0", size=4 * MiB, detect_zeroes="unmap", discard="unmap")
    changes = disk.add_bitmap("changes")

    t.step("clusters apart from each other, every third of them zeroes")
    for number in range(0, 48, 2):
        pattern = 0x00 if number % 3 == 0 else 0x22
        disk.write(pattern, offset=number * CLUSTER, length=CLUSTER)
    changes.expect(count=24 * CLUSTER)
    noted = target.add_bitmap("noted", granularity=CLUSTER)
    job = t.blockdev_backup(disk, target, sync="incremental", bitmap="changes")
    job.wait().expect_completed().expect(len=24 * CLUSTER, offset=24 * CLUSTER)
    noted.expect(count=24 * CLUSTER)
    changes.expect(count=0)

    t.step("a guest's write is copied before: noted as well")
    noted.clear()
    job = t.blockdev_backup(disk, target, sync="none")
    disk.write(0x33, offset=3 * MiB + 512, length=512)
    noted.expect(count=CLUSTER)
    job.cancel().wait().expect_cancelled()

    t.step("what has come to the target")
    t.shutdown()
    image = t.existing_image("target0.img")
    # Before 6.0 copy offload, which looks at no data, is tried first (ARG-24).
    data = {number for number in range(0, 48, 2) if number % 3 or t.release < (6, 0)} | {48}
    found = {
        extent.start // CLUSTER + at for extent in image.map() if extent.data for at in range(extent.length // CLUSTER)
    }
    t.expect("clusters with data", sorted(found), sorted(data))
    image.expect_clean()
