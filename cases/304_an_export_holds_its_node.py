"""An export holds its node: it is neither deleted nor resized; but a drive that is ejected takes its exports along."""

from backcheck import Case, MiB, case


@case(rules=["EXP-04"], groups=["nbd", "export", "graph", "permission", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    t.node("node1", size=MiB)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})
    t.qmp("nbd-server-add", device="node1", name="first")
    t.qmp("nbd-server-add", device="node1", name="second", writable=True)
    t.qmp("nbd-server-add", device="disk0", name="disk")

    t.step("as long as any export has it")
    t.expect_error("blockdev-del", node_name="node1", error="Node node1 is in use")
    t.expect_error("block_resize", node_name="node1", size=2 * MiB)
    t.expect_error("block_resize", device="disk0", size=8 * MiB)
    t.qmp("nbd-server-remove", name="second")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect_error("blockdev-del", node_name="node1", error="Node node1 is in use")
    t.expect_error("block_resize", node_name="node1", size=2 * MiB)

    t.step("and not longer")
    t.qmp("nbd-server-remove", name="first")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.qmp("block_resize", node_name="node1", size=2 * MiB)
    t.qmp("blockdev-del", node_name="node1")

    t.step("a guest and other exports may share it")
    t.qmp("nbd-server-add", device="disk0-node", name="node", writable=True)
    disk.write(0x22, offset=0, length=MiB)
    t.qmp("nbd-server-remove", name="node")
    t.wait_event("BLOCK_EXPORT_DELETED")

    t.step("the medium is ejected")
    t.qmp("eject", device="disk0")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("exports", t.ask_list("query-block-exports"), [])
    t.expect("client", t.img("info", "nbd:unix:nbd.sock:exportname=disk").status, 1)
    t.shutdown()
    disk.image.expect_identical(disk)
