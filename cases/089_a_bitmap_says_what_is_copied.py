"""A bitmap says what is copied, rounded out to job clusters; what it does not mark is neither copied nor guarded."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["SYNC-11", "SYNC-12", "SIZE-01", "SIZE-02"],
    groups=["bitmap", "sync", "size", "quick"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB + 512)
    disk.image.write(0x11)
    full = t.image("full.img", size=8 * MiB + 512)
    full.write(0x11)
    small = t.node("small", image=t.image("small.img", backing=full))
    large = t.node("large", image=t.image("large.img", backing=full, options={"cluster_size": "2M"}))
    fine = disk.add_bitmap("fine", granularity=4 * KiB)
    coarse = disk.add_bitmap("coarse", granularity=MiB)
    disk.write(0x22, offset=4 * MiB - 512, length=KiB)
    disk.write(0x33, offset=8 * MiB, length=512)
    before = disk.content

    t.step(
        "the clusters on both sides of 4 MiB, and the last one: by the target's clusters and the bitmap's granularity"
    )
    for mark, target, copied in (
        (fine, small, 192 * KiB),
        (coarse, small, 2 * MiB + 64 * KiB),
        (fine, large, 6 * MiB),
        (coarse, large, 6 * MiB),
    ):
        job = t.blockdev_backup(disk, target, sync="bitmap", bitmap=mark.name, bitmap_mode="never")
        job.wait().expect_completed().expect(len=copied, offset=copied)

    t.step("a guest's write is copied before where the bitmap has marks, and nowhere else")
    disk.write(0x44, offset=0, length=4 * MiB)
    marked = disk.content
    job = t.drive_backup(disk, "target.img", sync="incremental", bitmap="coarse", speed=1)
    start = job.wait_offset()
    disk.write(0x55, offset=6 * MiB, length=64 * KiB)
    disk.write(0x55, offset=3 * MiB, length=64 * KiB)
    disk.write(0x55, offset=5 * MiB - 64 * KiB, length=128 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 128 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=5 * MiB + 64 * KiB, offset=5 * MiB + 64 * KiB)
    coarse.expect(count=4 * MiB, busy=False)

    t.step("laid over the full backup each is the disk as it was")
    t.shutdown()
    small.expect_identical(before)
    large.expect_identical(before)
    t.img("rebase", "-q", "-u", "-f", "qcow2", "-b", "full.img", "-F", "qcow2", "target.img")
    job.target.expect_identical(marked)
