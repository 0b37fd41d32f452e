"""What the guest overwrote is in the target even if the machine is killed: the copy came before the write."""

from backcheck import Case, KiB, MiB, case


@case(rules=["QUIT-10", "CBW-01", "SYNC-09"], groups=["kill", "cbw", "none", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.node("target0", size=4 * MiB, format="raw")
    expected = t.image("expected.img", size=4 * MiB, format="raw")
    disk.image.write(0x11)
    for image in (target.image, expected):
        image.write(0x33)
    job = t.blockdev_backup(disk, target, sync="none")

    t.step("the guest writes, makes zero, and flushes")
    disk.write(0x22, offset=MiB + 4 * KiB, length=4 * KiB)
    disk.write_zeroes(offset=2 * MiB, length=128 * KiB)
    disk.write(0x22, offset=4 * MiB - 512, length=512)
    disk.flush()
    job.expect_query(status="running", offset=256 * KiB)

    t.step("killed: the source has the new, the target the old, and nothing else")
    t.kill()
    disk.image.expect_identical(disk.content)
    for offset, length in ((MiB, 64 * KiB), (2 * MiB, 128 * KiB), (4 * MiB - 64 * KiB, 64 * KiB)):
        expected.write(0x11, offset=offset, length=length)
    target.image.expect_identical(expected.content)

    t.step("the next machine knows of no job")
    t.expect("jobs", t.ask_list("query-jobs"), [])
    disk.read(0x22, offset=MiB + 4 * KiB, length=4 * KiB)
    t.blockdev_backup(disk, target).wait().expect_completed()
    t.shutdown()
    target.expect_identical(disk)
