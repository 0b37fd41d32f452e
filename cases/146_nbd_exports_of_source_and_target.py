"""During a backup its source is exported for reading, by its node's name, and its target even for writing."""

from backcheck import Case, MiB, case


@case(
    rules=["GRAPH-14", "PERM-02", "PERM-03"],
    groups=["graph", "permission", "nbd"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.node("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    job = t.blockdev_backup(disk, target, auto_finalize=False)
    job.wait()

    t.step("to read")
    t.qmp("nbd-server-add", device="disk0-node", name="source")
    t.qmp("nbd-server-add", device="target0", name="target")
    source, copy = (f"nbd:unix:nbd.sock:exportname={name}" for name in ("source", "target"))
    t.expect(
        "their comparison", t.img("compare", "-f", "raw", "-F", "raw", source, copy).stdout, "Images are identical.\n"
    )

    t.step("to write")
    t.expect_error("nbd-server-add", device="disk0-node", name="source-rw", writable=True)
    t.qmp("nbd-server-add", device="target0", name="target-rw", writable=True)

    t.step("the backup ends, and with it what kept the source from being written")
    job.finalize().wait().expect_completed()
    t.qmp("nbd-server-add", device="disk0-node", name="source-rw", writable=True)
    t.qmp("nbd-server-stop")
    for _ in range(4):
        t.wait_event("BLOCK_EXPORT_DELETED")
    t.shutdown()
    target.expect_identical(before)
