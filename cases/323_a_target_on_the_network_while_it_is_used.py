"""While a job writes to it an NBD node is not deleted; two nodes may have one server, and none is asked to close it."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-01", "GRAPH-10", "NBD-01"], groups=["nbd", "target", "graph"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    remote = t.recording_target("remote0", size=4 * MiB)
    t.node("again0", tree=remote.tree())

    t.step("while the job runs")
    job = t.blockdev_backup(disk, remote, speed=64 * KiB, auto_finalize=False)
    t.expect_error("blockdev-del", node_name="remote0")
    t.expect_error("block_resize", node_name="remote0", size=4 * MiB)
    t.expect_error("blockdev-backup", job_id="job1", device="disk0-node", target="remote0", sync="full")
    t.qmp("blockdev-del", node_name="again0")
    t.expect("connected", remote.connected, True)

    t.step("while it is pending")
    job.set_speed(0)
    job.wait()
    t.expect_error("blockdev-del", node_name="remote0")

    t.step("afterwards it is deleted, and its server let go")
    job.finalize().wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    remote.expect_identical(before)
    t.expect("connected", remote.connected, True)
    t.qmp("blockdev-del", node_name="remote0")
    t.poll(lambda: not remote.connected, "the client to say goodbye")
    remote.expect_written_once()
    t.shutdown()
