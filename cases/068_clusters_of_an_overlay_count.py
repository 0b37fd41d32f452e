"""The clusters of a target count also when it has a backing file, which sync=full leaves without meaning."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SIZE-02", "SYNC-02"], groups=["size", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    below = t.image("below.img", size=8 * MiB)
    below.write(0x77, offset=0, length=8 * MiB)
    target = t.node("target0", image=t.image("target0.img", backing=below, options={"cluster_size": "2M"}))

    t.step("a guest's write of 4 KiB copies 2 MiB")
    job = t.blockdev_backup(disk, target, speed=1)
    start = job.wait_offset()
    disk.write(0x22, offset=6 * MiB + 4 * KiB, length=4 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 2 * MiB)

    t.step("nothing of the backing file shows through")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=8 * MiB, offset=8 * MiB)
    t.shutdown()
    t.existing_image("target0.img").expect_identical(before)
