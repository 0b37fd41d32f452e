"""An incremental backup sends the clusters that changed, each once, and protects no other from the guest."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-11", "SYNC-12", "BMP-03"], groups=["nbd", "bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    disk.write(0x22, offset=MiB + 60 * KiB, length=8 * KiB)
    disk.write(0x33, offset=4 * MiB, length=2 * MiB)
    disk.write(0x44, offset=8 * MiB - 512, length=512)
    changed = [(MiB, 128 * KiB), (4 * MiB, 2 * MiB), (8 * MiB - 64 * KiB, 64 * KiB)]
    before = disk.content.only(*changed)
    target = t.recording_target("target0", size=8 * MiB)

    t.step("the guest writes where nothing had changed, and where it had")
    job = t.backup(disk, target, sync="incremental", bitmap=owed, speed=64 * KiB)
    target.forget()
    disk.write(0x55, offset=2 * MiB, length=MiB)
    target.expect_untouched((2 * MiB, MiB))
    disk.write(0x66, offset=8 * MiB - 4 * KiB, length=4 * KiB)
    target.expect_written_once((8 * MiB - 64 * KiB, 64 * KiB), elsewhere=True)

    t.step("it ends")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=2 * MiB + 192 * KiB)
    target.expect_identical(before)
    owed.expect(count=MiB + 4 * KiB)
