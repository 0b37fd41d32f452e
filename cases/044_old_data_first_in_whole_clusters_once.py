"""Before a guest's write the old data of every cluster it touches is copied, each cluster once."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-01", "CBW-02", "CBW-03", "CBW-06"], groups=["cbw", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=1)
    start = job.wait_offset()

    def expect_copied(clusters: int) -> None:
        t.expect("bytes copied for the guest", job.offset() - start, clusters * 64 * KiB)

    t.step("one sector of a cluster copies the whole of it")
    disk.write(0x22, offset=6 * MiB + 512, length=512)
    expect_copied(1)

    t.step("written again it is not copied again")
    disk.write(0x33, offset=6 * MiB, length=64 * KiB)
    expect_copied(1)

    t.step("a write over the end of a copied cluster copies the next one only")
    disk.write(0x44, offset=6 * MiB + 60 * KiB, length=10 * KiB)
    expect_copied(2)

    t.step("a large write copies all that it touches")
    disk.write(0x55, offset=7 * MiB - 512, length=256 * KiB)
    expect_copied(7)

    t.step("reading copies nothing")
    disk.read(0x11, offset=5 * MiB, length=128 * KiB)
    expect_copied(7)

    t.step("the target has what was there before")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=8 * MiB, offset=8 * MiB)
    job.target.expect_identical(before)
