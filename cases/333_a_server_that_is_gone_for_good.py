"""Without a reconnect-delay a write fails as soon as the server is gone; with a node made anew all begins again."""

from backcheck import Case, KiB, MiB, between, case


@case(
    rules=["NBD-09", "POL-04", "CBW-07", "BMP-05"],
    groups=["nbd", "target", "reconnect", "error", "bitmap"],
    not_on={"qemu<6.0": "deleting a node that is just connecting again can abort it (BUG-11)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    remote = t.recording_target("remote0", size=8 * MiB, node=False)
    t.node("node0", tree=remote.tree())
    marks = disk.add_bitmap("b0", granularity=64 * KiB)
    disk.write(0x22, offset=3 * MiB, length=2 * MiB)

    t.step("the server goes in the middle, and the job stops")
    gone = remote.disconnect_at("write", offset=4 * MiB)
    job = t.blockdev_backup(disk, "node0", sync="incremental", bitmap=marks, on_target_error="stop")
    gone.wait()
    job.event("BLOCK_JOB_ERROR", operation="write", action="stop")
    t.poll(lambda: job.query()["status"] == "paused", "the job to pause")
    job.expect_query(status="paused", io_status="failed")

    t.step("the guest cannot write where it is not copied, elsewhere it can")
    disk.write(0x33, offset=4 * MiB, length=4 * KiB, expect="Input/output error")
    disk.read(0x22, offset=4 * MiB, length=4 * KiB)
    disk.write(0x44, offset=MiB, length=64 * KiB)

    t.step("the job is given up, and all that it should have copied is still marked")
    job.cancel()
    job.wait().expect_cancelled().expect(len=2 * MiB, offset=between(0, 2 * MiB - 64 * KiB))
    marks.expect(count=2 * MiB + 64 * KiB, busy=False)
    t.qmp("blockdev-del", node_name="node0")

    t.step("the server is back, and takes it all")
    remote.come_back()
    t.node("node1", tree=remote.tree())
    job = t.blockdev_backup(disk, "node1", sync="incremental", bitmap=marks)
    job.wait().expect_completed().expect(len=2 * MiB + 64 * KiB, offset=2 * MiB + 64 * KiB)
    copied = (MiB, 64 * KiB), (3 * MiB, 2 * MiB)
    remote.expect_identical(disk.content.only(*copied))
    marks.expect(count=0)
