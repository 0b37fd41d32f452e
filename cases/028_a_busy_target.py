"""What one backup uses, as source or as target, is no target for another, and cannot be deleted."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["ERR-28", "GRAPH-01", "GRAPH-09", "GRAPH-10"], groups=["error", "graph", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.drive("disk1", size=4 * MiB)
    target = t.node("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.blockdev_backup(disk, target, speed=64 * KiB)
    in_use = "is busy: block device is in use by block job: backup"

    t.step("as a target, and as a source")
    other = {"job-id": "job1", "sync": "full"}
    t.expect_error(
        "blockdev-backup", {**other, "device": "disk1", "target": "target0"}, error=f"Node 'target0' {in_use}"
    )
    t.expect_error("blockdev-backup", {**other, "device": "disk1", "target": "disk0"}, error=f"Node 'disk0' {in_use}")
    t.expect_error(
        "blockdev-backup", {**other, "device": "target0", "target": "disk1"}, error=f"Node 'target0' {in_use}"
    )

    t.step("the target's node stays while the job does")
    t.expect_error("blockdev-del", node_name="target0", error=f"Node 'target0' {in_use}")
    t.expect_error("blockdev-del", node_name="disk0-node", error="Node disk0-node is not owned by the monitor")
    job.cancel()
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    t.qmp("blockdev-del", node_name="target0")
