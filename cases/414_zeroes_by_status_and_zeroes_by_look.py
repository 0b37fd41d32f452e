"""Zeroes are zero clusters where the disk tells so, or where the target looks at the data; else they are compressed."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["CMP-03", "SYNC-13", "SYNC-14"], groups=["compress", "full", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=MiB)
    source.write(0x11, length=128 * KiB)
    source.write(0, offset=256 * KiB, length=128 * KiB)
    source.write_zeroes(offset=512 * KiB, length=128 * KiB)
    disk = t.drive("disk0", image=source)
    looking = t.image("looking.img", size=MiB)
    tree: JsonObject = {
        "driver": "qcow2",
        "detect-zeroes": "unmap",
        "discard": "unmap",
        "file": {"driver": "file", "filename": "looking.img"},
    }
    t.node("looking0", tree=tree)
    blind = t.node("blind0", size=MiB)

    t.step("drive-backup looks")
    job = t.drive_backup(disk, "target.img", compress=True)
    job.wait().expect_completed()
    t.expect_state("target.img", job.target.check(), allocated_clusters=2, compressed_clusters=2)

    t.step("blockdev-backup leaves it to the node: to one that does, and to one that does not")
    t.blockdev_backup(disk, "looking0", compress=True).wait().expect_completed()
    t.blockdev_backup(disk, blind, compress=True).wait().expect_completed()
    t.shutdown()
    t.expect_state("looking.img", looking.check(), allocated_clusters=2, compressed_clusters=2)
    t.expect_state("blind0.img", blind.image.check(), allocated_clusters=4, compressed_clusters=4)
    blind.image.record_map()
    for image in (job.target, looking, blind.image):
        image.expect_identical(source)
        image.expect_clean()
