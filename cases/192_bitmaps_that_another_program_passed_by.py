"""When a program that knows no bitmaps has written the image its bitmaps are gone, and their names are free."""

from backcheck import Case, Image, JsonObject, KiB, MiB, case

AUTOCLEAR_OFFSET = 88
"""Of the autoclear features in the header; their bit 0 says that the bitmaps are up to date."""


@case(rules=["BMP-27"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    other = t.image("other0.img", size=4 * MiB)
    for image in (disk.image, other):
        image.add_bitmap("b0", granularity=64 * KiB)
        image.write(0x11, offset=0, length=64 * KiB)
        passed_by(t, image)

    t.step("the disk is as it was written, and has no bitmap")
    t.start()
    lost = t.bitmap(disk, "b0")
    t.expect("b0 is there", lost.exists(), False)
    disk.read(0x11, offset=0, length=64 * KiB)

    t.step("a new one of that name knows nothing and is stored again")
    lost.add(granularity=4 * KiB, persistent=True).expect(count=0, recording=True)
    disk.write(0x22, offset=1 * MiB, length=4 * KiB)
    t.restart()
    lost.expect(count=4 * KiB, granularity=4 * KiB, recording=True)

    t.step("read-only there is none either, and the image stays as it is")
    tree: JsonObject = {"driver": "qcow2", "read-only": True, "file": {"driver": "file", "filename": "other0.img"}}
    t.node("other0", tree=tree)
    t.expect("bitmaps", list(t.node_bitmaps("other0")), [])
    t.shutdown()
    t.expect("stored", [item["name"] for item in disk.image.bitmaps()], ["b0"])
    disk.image.expect_identical(disk.content)
    other.expect_identical(other)


def passed_by(t: Case, image: Image) -> None:
    """What such a program does: it clears the autoclear features that it does not know."""
    with image.path.open("r+b") as file:
        file.seek(AUTOCLEAR_OFFSET)
        t.expect("autoclear features", int.from_bytes(file.read(8), "big"), 1)
        file.seek(AUTOCLEAR_OFFSET)
        file.write(bytes(8))
