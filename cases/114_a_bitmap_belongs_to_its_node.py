"""A bitmap knows what is written through its own node, and a backup finds only bitmaps of the node it reads."""

from backcheck import Case, KiB, MiB, case
from backcheck.story.contents import Content


@case(rules=["BMP-30"], groups=["bitmap", "chain", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11, offset=0, length=4 * MiB)
    disk = t.drive("disk0", image=t.image("disk0.img", backing=base))
    plain = t.drive("disk1", size=4 * MiB, format="raw")
    below = t.find_node(file="base.img", drv=t.format)
    file_node = t.find_node(file="disk1.img", drv="file")
    top, low = disk.add_bitmap("top", granularity=64 * KiB), below.add_bitmap("low", granularity=64 * KiB)
    host, seen = file_node.add_bitmap("b0", granularity=64 * KiB), plain.add_bitmap("b0", granularity=64 * KiB)

    t.step("a write to the overlay is none to its backing file; one to a raw image is one to its file")
    disk.write(0x22, offset=1 * MiB, length=64 * KiB)
    top.expect(count=64 * KiB)
    low.expect(count=0)
    plain.write(0x33, offset=2 * MiB, length=64 * KiB)
    seen.expect(count=64 * KiB)
    host.expect_same_bits(seen).expect(count=64 * KiB)

    t.step("the disk has no bitmap of that name, its backing file has")
    start = {"job-id": "job0", "target": "refused.img", "sync": "incremental"}
    for device, name in (("disk0", "low"), (below.node_name, "top")):
        arguments = {**start, "device": device, "bitmap": name}
        t.expect_error("drive-backup", arguments, error=f"Bitmap '{name}' could not be found")

    t.step("the overlay's bitmap, read through the overlay: clusters are whole, and filled from below")
    disk.write(0x44, offset=3 * MiB + 512, length=512)
    job = t.drive_backup(disk, "t0.img", sync="incremental", bitmap="top")
    job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB)
    filled = Content(size=4 * MiB).written(0x11, 3 * MiB, 64 * KiB).written(0x44, 3 * MiB + 512, 512)
    job.target.expect_identical(filled.written(0x22, 1 * MiB, 64 * KiB))
    top.expect(count=0)
    low.expect(count=0)
