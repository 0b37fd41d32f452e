"""Two backups of one disk stack their filters: each target holds the disk as it was when its own job started."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-09", "SYNC-01", "SYNC-09"], groups=["none", "top", "graph", "filter"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=0, length=2 * MiB)
    disk = t.drive("disk0", image=overlay)

    t.step("the first moment")
    first = disk.content
    none = t.drive_backup(disk, "none.img", sync="none")
    disk.write(0x33, offset=MiB, length=64 * KiB)

    t.step("the second, by the node's name")
    second = disk.content
    top = t.drive_backup("disk0-node", "top.img", sync="top", speed=1)
    top.wait_offset()
    disk.write(0x44, offset=MiB, length=128 * KiB)
    disk.write_zeroes(offset=MiB + 512 * KiB, length=64 * KiB)
    disk.write(0x44, offset=3 * MiB, length=4 * KiB)

    t.step("the second ends, and guards nothing any more")
    top.set_speed(0)
    top.wait().expect_completed().expect(len=2 * MiB)
    top.target.expect_identical(second)
    disk.write(0x55, offset=0, length=64 * KiB)
    none.cancel().wait().expect_cancelled().expect(offset=320 * KiB)
    t.shutdown()
    none.target.expect_identical(first)
