"""What `img bitmap` does to an image's bitmaps the machine finds, and the other way round; a removal is at once."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-27"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    image = disk.image
    image.add_bitmap("b0", granularity=64 * KiB)
    image.add_bitmap("off", granularity=4 * KiB, enabled=False)
    image.write(0x11, offset=0, length=128 * KiB)
    b0, off, made = (t.bitmap(disk, name) for name in ("b0", "off", "made"))

    t.step("bitmaps that img added: one has recorded what the I/O tool wrote")
    b0.expect(count=128 * KiB, granularity=64 * KiB, recording=True, persistent=True)
    off.expect(count=0, granularity=4 * KiB, recording=False, persistent=True)
    made.add(granularity=16 * KiB, persistent=True)
    disk.write(0x22, offset=1 * MiB, length=16 * KiB)
    b0.expect(count=192 * KiB)
    t.shutdown()

    t.step("img enables, disables, merges and clears")
    image.img_bitmap("--disable", "made")
    image.img_bitmap("--enable", "off")
    image.img_bitmap("--merge", "made", "off")
    image.img_bitmap("--clear", "b0")
    t.start()
    b0.expect(count=0, recording=True)
    off.expect(count=16 * KiB, recording=True)
    made.expect(count=16 * KiB, recording=False)
    disk.write(0x33, offset=2 * MiB, length=4 * KiB)
    off.expect(count=20 * KiB)

    t.step("what the machine removes is gone from the image at once, even when it is killed")
    b0.remove()
    t.kill()
    t.expect("stored", sorted(str(item["name"]) for item in image.bitmaps()), ["made", "off"])

    t.step("what img removes the machine does not have")
    for name in ("made", "off"):
        image.img_bitmap("--remove", name)
    t.start()
    t.expect("bitmaps of the disk", list(t.node_bitmaps(disk)), [])
    b0.add(granularity=4 * KiB, persistent=True).expect(count=0, recording=True)
    t.shutdown()
    t.expect("stored", [item["name"] for item in image.bitmaps()], ["b0"])
