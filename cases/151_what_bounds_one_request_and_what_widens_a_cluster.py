"""max-chunk bounds what one request of top or a bitmap copies; min-cluster-size widens what a marked byte copies."""

from backcheck import Case, JsonObject, KiB, MiB, case

BOUNDED: JsonObject = {"max-workers": 1, "max-chunk": 128 * KiB}
WIDENED: JsonObject = {"min-cluster-size": MiB}


@case(
    rules=["SIZE-01", "SIZE-11", "ARG-20", "SYNC-06", "SYNC-11"],
    groups=["sync", "bitmap", "size", "release"],
    requires=["argument:drive-backup.x-perf"],
)
def run(t: Case) -> None:
    base = t.image("base.img", size=8 * MiB + 512)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=MiB + 64 * KiB, length=4 * MiB)
    disk = t.drive("disk0", image=overlay)
    target = t.node("target0", size=8 * MiB + 512)
    disk.add_bitmap("b0")
    disk.write(0x33, offset=6 * MiB, length=512)
    disk.write(0x33, offset=8 * MiB, length=512)
    before = disk.content

    t.step("the first request ends at the bound")
    job = t.drive_backup(disk, "target.img", sync="top", speed=64 * KiB, x_perf=BOUNDED)
    t.expect("offset after one request", job.wait_offset(), 128 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB + 128 * KiB)
    job.target.expect_identical(before)

    t.step("clusters of 1 MiB: two of the bitmap, the last one cut; for the guest's write, one")
    if t.release < (9, 2):
        wanted = {"device": "disk0", "target": "target0", "sync": "full", "x-perf": WIDENED}
        t.expect_error("blockdev-backup", wanted, error="Parameter 'x-perf.min-cluster-size' is unexpected")
        return
    job = t.blockdev_backup(disk, target, sync="bitmap", bitmap="b0", bitmap_mode="never", x_perf=WIDENED)
    job.wait().expect_completed().expect(len=2 * MiB, offset=2 * MiB)
    job = t.blockdev_backup(disk, target, sync="none", x_perf=WIDENED)
    disk.write(0x44, offset=3 * MiB + 512 * KiB, length=4 * KiB)
    job.cancel().wait().expect_cancelled().expect(len=9 * MiB, offset=MiB)
    t.shutdown()
    copied = target.content.written(0x11, 6 * MiB, MiB).written(0x33, 6 * MiB, 512).written(0x33, 8 * MiB, 512)
    target.expect_identical(copied.written(0x22, 3 * MiB, MiB))
