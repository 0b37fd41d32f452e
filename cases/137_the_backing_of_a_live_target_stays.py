"""A source that its backup's target is backed by is deleted only when the job has ended."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-02", "SYNC-09"], groups=["graph", "none", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    source = t.node("source0", size=4 * MiB)

    t.step("sync=none puts the source below the target")
    job = t.drive_backup(source, "target.img", sync="none")
    target = t.find_node(file="target.img", drv="qcow2")
    t.expect_state("node of the target", t.node_info(target.node_name), backing_file="source0.img")
    t.expect_error("blockdev-del", node_name="source0")

    t.step("it is no target for another disk's backup either")
    t.expect_error("blockdev-backup", device="disk0", target="source0", sync="full", job_id="job1")

    t.step("once it is cancelled, nothing holds it")
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=0, error=None)
    t.qmp("blockdev-del", node_name="source0")
    left = [node["node-name"] for node in t.nodes() if node.get("file") in ("target.img", "source0.img")]
    t.expect("nodes left of source and target", left, [])
    t.expect("size of the target", t.existing_image("target.img").info()["virtual-size"], 4 * MiB)
    disk.read(0x00, offset=0, length=64 * KiB)
