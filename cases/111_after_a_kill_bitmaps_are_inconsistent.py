"""After QEMU was killed a persistent bitmap cannot be trusted: it can be removed, and is good for nothing else."""

from backcheck import Case, KiB, MiB, case

BROKEN = "Bitmap 'b0' is inconsistent and cannot be used"


@case(rules=["BMP-16", "BMP-28", "ERR-23"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    image = disk.image
    image.add_bitmap("b0", granularity=64 * KiB)
    image.add_bitmap("off", granularity=4 * KiB, enabled=False)
    owed, off = t.bitmap(disk, "b0"), t.bitmap(disk, "off")
    unstored = disk.add_bitmap("unstored", persistent=True)
    owed.expect(count=0, recording=True)
    disk.write(0x11, offset=0, length=4 * KiB)
    disk.flush()
    t.kill()

    t.step("those that were stored are marked, also the disabled one; one that never was is unknown")
    flags = {str(item["name"]): item["flags"] for item in image.bitmaps()}
    t.expect("flags", flags, {"b0": ["in-use", "auto"], "off": ["in-use"]})
    owed.expect(inconsistent=True, recording=False, busy=False, persistent=True, count=0, granularity=64 * KiB)
    off.expect(inconsistent=True, recording=False, persistent=True, granularity=4 * KiB)
    t.expect("unstored is there", unstored.exists(), False)

    t.step("no verb takes it, no backup in any mode, and the disk cannot be resized")
    other = disk.add_bitmap("other", granularity=64 * KiB)
    for verb in ("clear", "enable", "disable"):
        owed.expect_refused(verb, error=BROKEN)
    owed.expect_refused("merge", other, error=BROKEN)
    other.expect_refused("merge", owed, error=BROKEN)
    owed.expect_refused("add", error="Bitmap already exists: b0")
    start = {"job-id": "job0", "device": "disk0", "target": "refused.img", "bitmap": "b0"}
    t.expect_error("drive-backup", {**start, "sync": "incremental"}, error=BROKEN)
    for mode in ("never", "always", "on-success"):
        t.expect_error("drive-backup", {**start, "sync": "bitmap", "bitmap-mode": mode}, error=BROKEN)
    off.remove()
    t.expect_error("block_resize", device="disk0", size=8 * MiB, error=BROKEN)
    disk.write(0x22, offset=1 * MiB, length=4 * KiB)
    owed.expect(count=0, inconsistent=True)

    t.step("an orderly end does not mend it")
    t.restart()
    owed.expect(inconsistent=True, recording=False)

    t.step("removed it is gone for good, and its name is free")
    owed.remove()
    owed.add(granularity=4 * KiB, persistent=True).expect(count=0, inconsistent=False, recording=True)
    disk.write(0x33, offset=2 * MiB, length=4 * KiB)
    t.restart()
    owed.expect(count=4 * KiB, inconsistent=False, recording=True)
    t.shutdown()
    t.expect("stored", [item["name"] for item in image.bitmaps()], ["b0"])
    image.expect_identical(disk.content)
