"""A speed of one byte a second lets one chunk through at once, and then no more for as long as anybody waits."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SPD-03", "SPD-05", "SPD-06", "SIZE-11", "CMP-02"], groups=["speed"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    small = t.drive("disk1", size=MiB)
    small.image.write(0x11)
    wide = t.image("wide.img", size=4 * MiB, format="qcow2", options={"cluster_size": "2M"})
    t.node("wide", image=wide)
    before_6 = t.release < (6, 0)
    for compress, chunk in ((False, MiB), (True, 64 * KiB)):
        t.step("one compressed cluster" if compress else "one chunk")
        job = t.drive_backup(disk, f"chunk{chunk}.img", format="qcow2", speed=1, compress=compress)
        job.wait_asleep()
        job.expect_query(busy=False, status="running", offset=64 * KiB if before_6 else chunk)
        job.cancel().wait().expect_cancelled()

    t.step("one cluster of the target, which is larger than a chunk")
    job = t.blockdev_backup(disk, "wide", speed=1)
    job.wait_asleep()
    job.expect_query(busy=False, offset=2 * MiB)
    job.cancel().wait().expect_cancelled()

    t.step("a disk of one chunk is done before anybody can slow it down; before 6.0 it is sixteen of them")
    job = t.drive_backup(small, "small.img", speed=1)
    if before_6:
        job.wait_asleep()
        job.expect_query(busy=False, offset=64 * KiB)
        job.set_speed(0)
    job.wait().expect_completed()
    job.target.expect_identical(small)
