"""A snapshot makes the layer below read-only: its bitmap is stored and rests; the layer above needs one of its own."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-27", "BMP-29", "BMP-30"], groups=["bitmap", "snapshot", "chain", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.image("layer1.img", size=4 * MiB)
    t.node("layer1", tree={"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": "layer1.img"}})
    below = disk.add_bitmap("b0", granularity=64 * KiB, persistent=True)
    passing = disk.add_bitmap("passing", granularity=64 * KiB)
    disk.write(0x11, offset=0, length=128 * KiB)
    t.qmp("blockdev-snapshot", node="disk0-node", overlay="layer1")

    t.step("the bitmap is in the image already, and is not for writing; a passing one is")
    info = t.img("info", "-U", "disk0.img").stdout
    t.expect("stored", ("name: b0" in info, "in-use" in info), (True, False))
    disk.write(0x22, offset=1 * MiB, length=64 * KiB)
    below.expect(count=128 * KiB, recording=True, persistent=True)
    below.expect_refused("clear", error="Bitmap 'b0' is readonly and cannot be modified")
    passing.clear().expect(count=0)

    t.step("by the device's id there is none, until the layer has one; it can take over what the other had")
    t.bitmap("disk0", "b0").expect_refused("clear", error="Dirty bitmap 'b0' not found")
    above = t.bitmap("layer1", "b0").add(granularity=64 * KiB, persistent=True)
    disk.write(0x33, offset=2 * MiB, length=64 * KiB)
    above.expect(count=64 * KiB)
    above.merge({"node": "disk0-node", "name": "b0"}).expect(count=192 * KiB)
    below.expect(count=128 * KiB)

    t.step("an incremental backup has both layers' clusters")
    before = disk.content
    base = t.image("base.img", size=4 * MiB)
    base.write(0x22, offset=1 * MiB, length=64 * KiB)
    job = t.drive_backup(disk, base, mode="existing", format="qcow2", sync="incremental", bitmap="b0")
    job.wait().expect_completed().expect(len=192 * KiB, offset=192 * KiB)
    base.expect_identical(before)
    above.expect(count=0)
    t.shutdown()
    for name, image in (("b0", disk.image), ("b0", t.existing_image("layer1.img"))):
        t.expect("stored", [[item["name"], item["flags"]] for item in image.bitmaps()], [[name, ["auto"]]])
