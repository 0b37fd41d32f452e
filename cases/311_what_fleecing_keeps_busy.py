"""While a job fleeces, its source is written through its filter only, and its target stays till export and job go."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["FLT-12", "PERM-02", "FLT-11"], groups=["nbd", "export", "none", "pull", "permission"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    before = disk.content
    store = t.image("store.img", size=4 * MiB)
    t.start()
    tree: JsonObject = {"driver": "qcow2", "file": {"driver": "file", "filename": store.name}, "backing": "disk0-node"}
    target = t.node("target0", tree=tree)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    job = t.blockdev_backup(disk, target, sync="none")
    t.qmp("nbd-server-add", device="target0", name="start")

    t.step("a client writes the source: not around the filter, but through it")
    t.expect_error("nbd-server-add", device="disk0-node", name="around", writable=True)
    t.qmp("nbd-server-add", device="disk0", name="through", writable=True)
    url = "nbd:unix:nbd.sock:exportname=through"
    t.expect("status of the writer", t.io("-f", "raw", "-c", "write -P 0x22 1M 4k", url).status, 0)
    disk.image.note_write(0x22, MiB, 4 * KiB)
    disk.read(0x22, offset=MiB, length=4 * KiB)
    job.expect_query(status="running", offset=64 * KiB)
    pulled = t.img("convert", "-f", "raw", "-O", "raw", "nbd:unix:nbd.sock:exportname=start", "pulled.img")
    t.expect("status of the reader", pulled.status, 0)
    t.existing_image("pulled.img", format="raw").expect_identical(before)

    t.step("the target is not deleted")
    t.expect_error("blockdev-del", node_name="target0")
    t.expect_error("nbd-server-add", device="target0", name="start", error="Block export id 'start' is already in use")
    t.qmp("nbd-server-remove", name="start")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect_error("blockdev-del", node_name="target0")
    t.qmp("nbd-server-add", device="target0", name="start")

    t.step("without the job: while its export is there")
    job.cancel()
    job.wait().expect_cancelled()
    t.expect_error("blockdev-del", node_name="target0")
    t.expect("status of a late reader", t.img("info", "nbd:unix:nbd.sock:exportname=start").status, 0)

    t.step("both are gone")
    t.qmp("nbd-server-stop")
    for _ in range(2):
        t.wait_event("BLOCK_EXPORT_DELETED")
    t.qmp("blockdev-del", node_name="target0")
    t.shutdown()
    disk.image.expect_identical(disk)
