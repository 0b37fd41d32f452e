"""Two backups of one node in one transaction hold the same moment, each with its own filter, and end in any order."""

from backcheck import Case, KiB, MiB, case


@case(rules=["TXN-15", "GRAPH-09", "FLT-03", "CBW-01"], groups=["transaction", "filter", "cbw", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("both start, and the guest's write is preceded by two copies")
    jobs = t.transaction(
        t.drive_backup_action("disk0-node", "first.img", speed=64 * KiB, filter_node_name="filter0"),
        t.drive_backup_action("disk0-node", "second.img", speed=64 * KiB, filter_node_name="filter1"),
    )
    t.expect_state("drive disk0", t.inserted(disk), node_name="filter0", backing_file_depth=2)
    disk.write(0x22, offset=3 * MiB, length=4 * KiB)

    t.step("the first ends; the other goes on")
    jobs[0].set_speed(0)
    jobs[0].wait().expect_completed().expect(len=4 * MiB)
    jobs[0].target.expect_identical(before)
    t.expect_state("drive disk0", t.inserted(disk), node_name="filter1", backing_file_depth=1)
    disk.write(0x33, offset=3 * MiB + 512 * KiB, length=4 * KiB)

    t.step("the second ends")
    jobs[1].set_speed(0)
    jobs[1].wait().expect_completed().expect(len=4 * MiB)
    jobs[1].target.expect_identical(before)
    t.expect_state("drive disk0", t.inserted(disk), node_name="disk0-node")
    disk.read(0x22, offset=3 * MiB, length=4 * KiB)
    disk.read(0x33, offset=3 * MiB + 512 * KiB, length=4 * KiB)
