"""Two jobs of one disk use two bitmaps at once: each has its own successor, and settles by its own end."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-02", "BMP-03", "BMP-05", "GRAPH-09"], groups=["bitmap", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    empty = disk.content
    fine, coarse = disk.add_bitmap("fine", granularity=4 * KiB), disk.add_bitmap("coarse", granularity=1 * MiB)
    disk.write(0x11, offset=0, length=4 * KiB)
    first = t.drive_backup(disk.node_name, "fine.img", sync="incremental", bitmap=fine, auto_finalize=False)
    first.wait()

    t.step("the second begins later, with what was written between")
    disk.write(0x22, offset=1 * MiB, length=4 * KiB)
    second = t.drive_backup(disk.node_name, "coarse.img", sync="incremental", bitmap=coarse, auto_finalize=False)
    second.wait()
    disk.write(0x33, offset=3 * MiB, length=4 * KiB)
    fine.expect(count=4 * KiB, busy=True)
    coarse.expect(count=2 * MiB, busy=True)
    fine.expect_refused("clear")

    t.step("the second is cancelled: its bitmap owes all, the first one's is still in use")
    second.cancel()
    second.wait().expect_cancelled().expect(len=2 * MiB, offset=2 * MiB)
    coarse.expect(count=3 * MiB, busy=False)
    fine.expect(count=4 * KiB, busy=True)

    t.step("the first succeeds: its bitmap owes what came after its own start")
    disk.write(0x44, offset=2 * MiB, length=4 * KiB)
    first.finalize()
    first.wait().expect_completed().expect(len=64 * KiB)
    fine.expect(count=12 * KiB, busy=False)
    coarse.expect(count=4 * MiB, busy=False)
    first.target.expect_identical(empty.written(0x11, 0, 4 * KiB))
    t.expect("bitmaps of the disk", len(t.node_bitmaps(disk)), 2)
