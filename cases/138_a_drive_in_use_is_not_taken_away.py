"""While a backup runs, its drive is neither ejected nor deleted, and its filter is not deleted either."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-03", "GRAPH-06", "GRAPH-13", "HMP-09", "FLT-03"], groups=["graph", "filter", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    other = t.drive("disk1", size=MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    busy = "Node 'disk0' is busy: block device is in use by block job: backup"

    def expect_all_refused() -> None:
        t.expect_error("eject", device="disk0", error=busy)
        t.expect_error("eject", device="disk0", force=True, error=busy)
        t.hmp("drive_del disk0")
        t.expect_error("blockdev-del", node_name="filter0")
        t.expect_state("drive disk0", t.inserted(disk), node_name="filter0")

    t.step("refused while it runs")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB, filter_node_name="filter0", auto_finalize=False)
    expect_all_refused()

    t.step("refused while it is pending")
    job.set_speed(0)
    job.wait()
    expect_all_refused()

    t.step("a filter on a node without a drive is busy in other words")
    t.node("source0", size=MiB)
    bare = t.drive_backup("source0", "other.img", sync="none", filter_node_name="filter1")
    t.expect_error("blockdev-del", node_name="filter1")
    bare.cancel()
    bare.wait().expect_cancelled()

    t.step("another drive is not concerned")
    t.qmp("eject", device="disk1")
    t.expect("medium of disk1", t.drive_info(other).get("inserted"), None)

    t.step("the backup ends, and the drive can go")
    job.finalize().wait().expect_completed().expect(len=4 * MiB)
    job.target.expect_identical(before)
    t.hmp("drive_del disk0")
    t.expect("drives", [drive["device"] for drive in t.ask_list("query-block")], ["disk1"])
