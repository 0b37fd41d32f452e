"""An export that nobody uses is taken back by its id alone, once; its name and id are free again at once."""

from backcheck import Case, MiB, case


@case(rules=["EXP-03"], groups=["nbd", "export", "event", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})

    def ids() -> list[str]:
        return [str(export["id"]) for export in t.ask_list("query-block-exports")]

    t.qmp("nbd-server-add", device="disk0", name="one")
    t.qmp("nbd-server-add", device="disk0", name="two")
    t.qmp("block-export-add", type="nbd", id="three", node_name=disk.node_name, name="third")
    t.qmp("nbd-server-add", device="disk0", name="four")

    t.step("in any mode, by either command")
    t.qmp("nbd-server-remove", name="one")
    t.qmp("block-export-del", id="two", mode="safe")
    t.qmp("nbd-server-remove", name="three", mode="hard")
    for _ in range(3):
        t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("exports", ids(), ["four"])

    t.step("not twice, not by its name, not in a mode that is none")
    t.expect_error("nbd-server-remove", name="one", error="Export 'one' is not found")
    t.expect_error("block-export-del", id="third", error="Export 'third' is not found")
    t.expect_error("block-export-del", id="four", mode="soft")
    t.expect_error("nbd-server-remove", error="Parameter 'name' is missing")
    t.expect_error("block-export-del", error="Parameter 'id' is missing")
    t.expect("exports", ids(), ["four"])

    t.step("its name and id serve again")
    t.qmp("block-export-add", type="nbd", id="one", node_name=disk.node_name, name="third")
    t.qmp("block-export-del", id="one")
    t.wait_event("BLOCK_EXPORT_DELETED")
    t.expect("client", t.img("info", "nbd:unix:nbd.sock:exportname=third").status, 1)
    t.expect("client of the other", t.img("info", "nbd:unix:nbd.sock:exportname=four").status, 0)
