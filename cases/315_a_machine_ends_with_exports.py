"""A machine with exports ends at once, whether a job writes behind one or a client reads; it tells of each export."""

from backcheck import Case, MiB, case


@case(rules=["EXP-10", "QUIT-01"], groups=["nbd", "export", "quit", "event"], requires=["nbd-server"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    target = t.node("target0", size=4 * MiB)

    t.step("a job writes to one that nobody reads")
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="disk0")
    t.qmp("nbd-server-add", device="target0")
    t.blockdev_backup(disk, target, sync="none")
    t.quit()
    t.expect("status of who comes late", t.img("info", "nbd:unix:nbd.sock:exportname=disk0").status, 1)

    t.step("a client is connected")
    t.start()
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="disk0")
    client = t.nbd_server("-f", "raw", "-r", "nbd+unix:///disk0?socket=nbd.sock", name="client")
    t.expect("status of who reads through it", t.img("compare", "-U", client.url, "disk0.img").status, 0)
    t.expect_error("block-export-del", id="disk0", error="export 'disk0' still in use")
    t.quit()
    t.expect("status of who reads through it", t.img("compare", "-U", client.url, "disk0.img").status, 2)
    client.stop()
