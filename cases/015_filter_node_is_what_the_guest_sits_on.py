"""While a backup runs, its filter is the drive's root, under the name that was given; then it is gone."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-18", "FLT-01", "FLT-02", "FLT-03"], groups=["arg", "filter", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    t.record("drive disk0", t.inserted(disk), keys=["node-name", "drv", "backing_file_depth"])

    t.step("it is there when the start is answered")
    job = t.drive_backup(disk, "target.img", filter_node_name="filter0", speed=64 * KiB, auto_finalize=False)
    inserted = t.inserted(disk)
    t.expect_state("drive disk0", inserted, node_name="filter0", file="disk0.img", backing_file_depth=1)
    t.record("drive disk0", inserted, keys=["drv"])

    t.step("it stays through pending, and goes at finalize")
    job.set_speed(0)
    job.wait()
    job.expect_query(status="pending")
    t.expect("node of disk0", t.inserted(disk)["node-name"], "filter0")
    job.finalize().wait()
    inserted = t.inserted(disk)
    t.expect_state("drive disk0", inserted, node_name="disk0-node", drv="qcow2")
    names = [node["node-name"] for node in t.nodes()]
    t.expect("filter0 among the nodes", "filter0" in names, False)

    t.step("without a name it gets a generated one")
    job = t.drive_backup(disk, "target.img", auto_finalize=False)
    job.wait()
    t.record("drive disk0", t.inserted(disk), keys=["node-name", "drv"])
    job.finalize().wait()
