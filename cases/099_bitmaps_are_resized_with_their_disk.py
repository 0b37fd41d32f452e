"""A bitmap grows with its disk, clean, and forgets what a smaller disk no longer has."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-26"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    fine = disk.add_bitmap("fine", granularity=4 * KiB)
    coarse = disk.add_bitmap("coarse", granularity=1 * MiB, persistent=True)
    off = disk.add_bitmap("off", granularity=64 * KiB, disabled=True)
    for offset in (0, 1 * MiB - 1, 4 * MiB - 1):
        disk.write(0x11, offset=offset, length=1)
    off.merge(fine).expect(count=192 * KiB)

    t.step("larger: what it had, and the new part is clean")
    disk.resize(8 * MiB)
    fine.expect(count=12 * KiB)
    coarse.expect(count=2 * MiB)
    disk.write(0x22, offset=8 * MiB - 1, length=1)
    fine.expect(count=16 * KiB)
    coarse.expect(count=3 * MiB)
    off.expect(count=192 * KiB, recording=False)

    t.step("smaller: what lies past the end is forgotten, and stays so")
    disk.resize(2 * MiB)
    fine.expect(count=8 * KiB)
    coarse.expect(count=1 * MiB)
    off.expect(count=128 * KiB)
    disk.resize(8 * MiB)
    fine.expect(count=8 * KiB)
    coarse.expect(count=1 * MiB)

    t.step("an end within a granule keeps the granule")
    disk.write(0x33, offset=3 * MiB + 512, length=512)
    disk.resize(3 * MiB + 64 * KiB)
    fine.expect(count=12 * KiB)
    coarse.expect(count=2 * MiB)

    t.step("an incremental backup of the resized disk")
    job = t.drive_backup(disk, "t0.img", sync="incremental", bitmap="fine")
    job.wait().expect_completed().expect(len=192 * KiB, offset=192 * KiB)
    job.target.expect_identical(disk.content)
    t.restart()
    coarse.expect(count=2 * MiB, recording=True)
