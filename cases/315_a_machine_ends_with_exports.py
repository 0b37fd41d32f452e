"""A machine ends at once with exports, a client of one and a job behind another; it tells that each export is gone."""

from backcheck import Case, MiB, case


@case(rules=["EXP-10", "QUIT-01"], groups=["nbd", "export", "quit", "event"], requires=["nbd-server"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    target = t.node("target0", size=4 * MiB)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="disk0", name="first")
    t.qmp("nbd-server-add", device="target0", name="second")
    client = t.nbd_server("-f", "raw", "-r", "nbd+unix:///first?socket=nbd.sock", name="client")

    t.step("a client is there")
    t.expect("status of who reads through it", t.img("compare", "-U", client.url, "disk0.img").status, 0)
    t.expect_error("block-export-del", id="first", error="export 'first' still in use")

    t.step("and it ends")
    t.blockdev_backup(disk, target, sync="none")
    t.quit()
    t.expect("status of who reads through it", t.img("compare", "-U", client.url, "disk0.img").status, 2)
    client.stop()
