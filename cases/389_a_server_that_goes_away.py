"""A job whose server goes away fails without a reconnect delay, and the disk goes on."""

from backcheck import Case, MiB, case


@case(rules=["NBD-09", "POL-01", "POL-02"], groups=["nbd", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    target = t.recording_target("target0", size=4 * MiB)

    t.step("the server leaves at the first write")
    target.disconnect_at("write")
    job = t.backup(disk, target).wait()
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.expect(error="Input/output error", offset=0)
    disk.write(0x22, offset=0, length=MiB)

    t.step("it comes back, and a new node is as good as new")
    t.qmp("blockdev-del", node_name="target0")
    target.come_back()
    target.expect_untouched()
    t.backup(disk, t.node("again0", tree=target.tree())).wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(disk)
