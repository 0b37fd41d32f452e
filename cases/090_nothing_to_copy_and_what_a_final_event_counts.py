"""The `len` of a final event is what was copied and what was left: nothing for a bitmap without marks."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["SYNC-15", "EVT-14"], groups=["bitmap", "event", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=8 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=0, length=5 * MiB)
    disk = t.drive("disk0", image=overlay)
    target = t.node("target0", size=8 * MiB)
    owed = disk.add_bitmap("b0")

    t.step("nothing is marked")
    job = t.blockdev_backup(disk, target, sync="incremental", bitmap="b0")
    job.wait().expect_completed().expect(len=0, offset=0)
    job = t.blockdev_backup(disk, target, sync="bitmap", bitmap="b0", bitmap_mode="always")
    job.wait().expect_completed().expect(len=0, offset=0)
    job = t.drive_backup(disk, "empty.img", sync="incremental", bitmap="b0", auto_finalize=False)
    job.wait().expect_query(status="pending", len=0, offset=0)
    job.finalize().wait().expect_completed().expect(len=0, offset=0)

    t.step("a cancelled bitmap job counts what was marked, whoever copied it")
    disk.write(0x33, offset=2 * MiB, length=4 * MiB)
    job = t.blockdev_backup(disk, target, sync="bitmap", bitmap="b0", bitmap_mode="never", speed=1)
    start = job.wait_offset()
    disk.write(0x44, offset=5 * MiB, length=64 * KiB)
    disk.write(0x44, offset=7 * MiB, length=64 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 64 * KiB)
    job.cancel().wait().expect_cancelled().expect(len=4 * MiB, offset=between(128 * KiB, 2 * MiB), error=None)
    owed.expect(count=4 * MiB + 64 * KiB, busy=False)

    t.step("a cancelled top counts what the overlay holds, a cancelled full all")
    job = t.drive_backup(disk, "top.img", sync="top", speed=1)
    job.wait_offset()
    job.cancel().wait().expect_cancelled().expect(len=6 * MiB + 64 * KiB, offset=between(64 * KiB, MiB), error=None)
    job = t.drive_backup(disk, "full.img", sync="full", speed=1)
    job.wait_offset()
    job.cancel().wait().expect_cancelled().expect(len=8 * MiB, offset=between(64 * KiB, MiB), error=None)
