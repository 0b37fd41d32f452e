"""A target that cannot leave its iothread is refused right after the lookup, and accepted once it can."""

from backcheck import Case, MiB, case


@case(rules=["ERR-18", "QUIT-07"], groups=["error", "quick"], requires=["command:block-export-add"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.write(0x11)
    before = disk.content
    target = t.node("target0", size=MiB)
    t.start("-object", "iothread,id=iothread0")
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    export = {"type": "nbd", "id": "export0", "node-name": "target0", "iothread": "iothread0", "fixed-iothread": True}
    t.qmp("block-export-add", export)

    t.step("it is found before anything else that is wrong")
    stays = "Cannot change iothread of active block backend"
    for wrong in ({}, {"sync": "incremental"}, {"speed": -1}, {"job-id": "1a"}):
        wanted = {"job-id": "job9", "device": "disk0", "target": "target0", "sync": "full", **wrong}
        t.expect_error("blockdev-backup", wanted, error=stays)
    t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("without the export it can")
    t.qmp("block-export-del", id="export0", mode="hard")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.blockdev_backup(disk, target).wait().expect_completed().expect(len=MiB)
    t.shutdown()
    target.expect_identical(before)
