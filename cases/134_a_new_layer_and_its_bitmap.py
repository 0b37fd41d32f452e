"""A snapshot and its bitmap in one transaction miss no write; the layer below is backed up as it stopped."""

from backcheck import Action, Case, KiB, MiB, case


@case(
    rules=["GRAPH-12", "SYNC-06", "BMP-19"],
    groups=["transaction", "snapshot", "bitmap", "quick"],
    formats=["qcow2", "raw"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.image("layer1.img", size=4 * MiB, format="qcow2")
    t.node("layer1", tree={"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": "layer1.img"}})
    first = disk.add_bitmap("first")
    disk.write(0x11, offset=0, length=4 * MiB)
    first.clear()
    disk.write(0x22, offset=MiB, length=64 * KiB)
    before = disk.content

    t.step("the layer, its bitmap, and a backup of the layer below, all of one moment")
    second = t.bitmap("layer1", "second")
    (job,) = t.transaction(
        Action("blockdev-snapshot", node="disk0-node", overlay="layer1"),
        Action("block-dirty-bitmap-add", node="layer1", name="second"),
        t.drive_backup_action("disk0-node", "below.img", speed=64 * KiB),
    )
    disk.write(0x33, offset=3 * MiB, length=64 * KiB)
    disk.read(0x22, offset=MiB, length=64 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB)
    job.target.expect_identical(before)

    t.step("each bitmap has what was written to its layer")
    t.expect_state("drive disk0", t.inserted(disk), node_name="layer1", backing_file="disk0.img", backing_file_depth=1)
    first.expect(count=64 * KiB, recording=True)
    second.expect(count=64 * KiB, recording=True)

    t.step("the new layer is all that the next backup has to copy")
    image = t.image("above.img", size=4 * MiB, format="qcow2", backing=job.target)
    job = t.drive_backup(disk, image, sync="incremental", bitmap=second, mode="existing", format="qcow2")
    job.wait().expect_completed().expect(len=64 * KiB)
    job.target.expect_identical(disk.content)
    second.expect(count=0, busy=False)
    t.shutdown()
    disk.image.expect_identical(before)
