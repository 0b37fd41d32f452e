"""Persistent bitmaps are there for the next machine with bits, granularity and recording as they were."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-17", "BMP-27"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    fine = disk.add_bitmap("fine", granularity=4 * KiB, persistent=True)
    coarse = disk.add_bitmap("coarse", granularity=1 * MiB, persistent=True)
    off = disk.add_bitmap("off", granularity=64 * KiB, persistent=True, disabled=True)
    passing = disk.add_bitmap("passing", granularity=4 * KiB)
    for offset in (0, 1 * MiB, 4 * MiB - 512):
        disk.write(0x11, offset=offset, length=512)
    off.merge(fine)
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    bits = [bitmap.sha256() for bitmap in (fine, coarse, off)]

    t.step("stored when the machine ends: all but the one that was not persistent")
    t.shutdown()
    stored = [(item["name"], item["granularity"], item["flags"]) for item in disk.image.bitmaps()]
    t.expect(
        "stored bitmaps",
        [list(item) for item in sorted(stored, key=str)],
        [["coarse", 1 * MiB, ["auto"]], ["fine", 4 * KiB, ["auto"]], ["off", 64 * KiB, []]],
    )
    disk.image.expect_clean()

    t.step("the next machine goes on with them")
    t.start()
    fine.expect(count=16 * KiB, granularity=4 * KiB, recording=True, busy=False, persistent=True)
    coarse.expect(count=4 * MiB, granularity=1 * MiB, recording=True, persistent=True)
    off.expect(count=192 * KiB, granularity=64 * KiB, recording=False, persistent=True)
    t.expect("passing exists", passing.exists(), False)
    t.expect("hashes", [bitmap.sha256() for bitmap in (fine, coarse, off)], bits)
    disk.write(0x33, offset=3 * MiB, length=1)
    fine.expect(count=20 * KiB)
    off.enable().expect(count=192 * KiB)

    t.step("a job's successor is persistent as well; so is what enable and clear did")
    t.drive_backup(disk, "t0.img", sync="incremental", bitmap="fine").wait().expect_completed().expect(len=320 * KiB)
    disk.write(0x44, offset=64 * KiB, length=512)
    coarse.clear()
    fine.expect(count=4 * KiB, persistent=True)
    t.restart()
    fine.expect(count=4 * KiB, recording=True)
    coarse.expect(count=0, recording=True)
    off.expect(count=256 * KiB, recording=True)

    t.step("a machine that ends during a job stores what was owed before and what was written since")
    job = t.drive_backup(disk, "t1.img", sync="incremental", bitmap="fine", auto_finalize=False)
    job.wait()
    disk.write(0x55, offset=128 * KiB, length=512)
    t.quit()
    t.start()
    fine.expect(count=8 * KiB, recording=True, busy=False, persistent=True)
    coarse.expect(count=1 * MiB)
