"""While a job uses a bitmap it keeps its bits and refuses every change; a nameless successor takes the new ones."""

from backcheck import Case, KiB, MiB, case

BUSY = "Bitmap 'b0' is currently in use by another operation and cannot be used"


@case(rules=["BMP-01", "BMP-02", "BMP-03", "BMP-10", "ERR-23", "SYNC-12"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    used = disk.add_bitmap("b0", granularity=4 * KiB)
    other = disk.add_bitmap("b1", granularity=4 * KiB, disabled=True)
    for offset in (0, 1 * MiB, 2 * MiB):
        disk.write(0x11, offset=offset, length=1)
    before, bits = disk.content, used.sha256()
    job = t.drive_backup(disk, "t0.img", sync="incremental", bitmap="b0", speed=1)
    job.wait_offset()

    t.step("what is written now goes to the successor, which records as the bitmap did")
    disk.write(0x22, offset=2 * MiB + 32 * KiB, length=1)
    disk.write(0x22, offset=3 * MiB, length=1)
    used.expect(count=12 * KiB, busy=True, recording=True, granularity=4 * KiB)
    successor = [bitmap for bitmap in t.node_bitmaps(disk) if "name" not in bitmap and bitmap["recording"]]
    t.expect("successors", [(bitmap["count"], bitmap["granularity"]) for bitmap in successor], [(8 * KiB, 4 * KiB)])
    t.expect("bytes to copy", job.query()["len"], 192 * KiB)

    t.step("it can be neither changed nor used, only looked at")
    for verb in ("clear", "enable", "disable", "remove"):
        used.expect_refused(verb, error=BUSY)
    used.expect_refused("merge", other, error=BUSY)
    other.expect_refused("merge", used, error=BUSY)
    used.expect_refused("add", error="Bitmap already exists: b0")
    second = {"job-id": "second", "device": "disk0-node", "target": "t1.img", "sync": "incremental", "bitmap": "b0"}
    t.expect_error("drive-backup", second, error=BUSY)
    t.expect("hash", used.sha256(), bits)

    t.step("in the end it is the successor: what was written since the start")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=192 * KiB, offset=192 * KiB)
    used.expect(count=8 * KiB, busy=False, recording=True, granularity=4 * KiB)
    other.expect(count=0)
    t.expect("bitmaps of the disk", len(t.node_bitmaps(disk)), 2)
    job.target.expect_identical(before)
