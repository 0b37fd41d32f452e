"""drive_del refuses a drive that a backup reads or writes; deleted at rest, it is gone with its node and file."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-09", "GRAPH-13", "HMP-04"], groups=["hmp", "graph", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.drive("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    def expect_there(*names: str) -> None:
        t.expect("drives", sorted(str(drive["device"]) for drive in t.ask_list("query-block")), sorted(names))

    t.step("source and target of a job: refused, and the job goes on")
    job = t.blockdev_backup(disk, target, speed=64 * KiB)
    for name in ("disk0", "target0"):
        busy = f"Node '{name}' is busy: block device is in use by block job: backup\r\n"
        t.expect(f"drive_del {name}", t.hmp(f"drive_del {name}").removeprefix("Error: "), busy)
    expect_there("disk0", "target0")
    t.hmp("block_job_set_speed job0 0")
    job.wait().expect_completed()

    t.step("the target is free: it goes, with its node, and its file can be read by another")
    t.expect("answer", t.hmp("drive_del target0"), "")
    expect_there("disk0")
    t.expect("node target0-node", [node for node in t.nodes() if node["node-name"] == "target0-node"], [])
    t.node("again", tree={"driver": t.format, "file": {"driver": "file", "filename": "target0.img"}})
    t.hmp('qemu-io again "read -P 0x11 0 4M"')

    t.step("what is gone is gone; a node below a drive stays, and one without a drive goes as well")
    for line in ("drive_del target0", "drive_del disk0-node", "drive_del again", "drive_del"):
        t.hmp(line)
    t.expect("a node of the monitor's own goes too", [node for node in t.nodes() if node["node-name"] == "again"], [])
    t.hmp("drive_backup -f target0 other.img")
    expect_there("disk0")
    t.shutdown()
    t.existing_image("target0.img").expect_identical(before)
