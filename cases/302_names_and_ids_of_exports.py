"""An export has an id for the monitor and a name for its clients; neither is given twice."""

from backcheck import Case, JsonObject, MiB, case


@case(rules=["EXP-02", "NBD-05"], groups=["nbd", "export", "error", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=4 * MiB)
    t.node("node1", size=MiB)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})

    def add(id: str, node: str, /, **more: str | bool) -> JsonObject:
        return {"type": "nbd", "id": id, "node-name": node, **more}

    def compared(name: str) -> str:
        """What a client finds in an export beside an empty image of its size, or what it is told."""
        done = t.img("compare", "-f", "raw", f"nbd+unix:///{name}?socket=nbd.sock", "-F", "raw", "empty.img")
        return done.stdout.strip() if done.status == 0 else done.stderr.splitlines()[0].rpartition(": ")[2]

    t.image("empty.img", size=4 * MiB, format="raw")

    t.step("nbd-server-add: id and name are the device's, or the name given")
    t.qmp("nbd-server-add", device="disk0")
    t.qmp("nbd-server-add", device="disk0", name="again", description="the same disk")
    t.expect_error("nbd-server-add", device="disk0", error="Block export id 'disk0' is already in use")
    t.expect_error("nbd-server-add", device="node1", name="again", error="Block export id 'again' is already in use")

    t.step("block-export-add: the name is the node's unless one is given")
    t.expect_error("block-export-add", add("again", "node1"), error="Block export id 'again' is already in use")
    taken = "NBD server already has export named 'again'"
    t.expect_error("block-export-add", add("export1", "node1", name="again"), error=taken)
    t.qmp("block-export-add", add("export1", "node1"))
    t.qmp("block-export-add", add("export2", "disk0-node", name="", description="for who asks for none"))
    t.qmp("block-export-add", add("export3", "disk0-node", name="a b"))
    t.expect_error("block-export-add", add("export4", "node1"), error="NBD server already has export named 'node1'")

    t.step("what is no id, no node, no device")
    for bad in ("", "1a", "a b"):
        t.expect_error("block-export-add", add(bad, "node1", name="x"), error="Invalid block export id")
    t.expect_error("nbd-server-add", device="node1", name="a c", error="Invalid block export id")
    t.expect_error("block-export-add", add("x", "disk0"))
    t.expect_error("nbd-server-add", device="nope")
    t.expect_error("block-export-add", {"type": "nosuch", "id": "x", "node-name": "node1"})
    t.expect_error("block-export-add", {"type": "nbd", "node-name": "node1"}, error="Parameter 'id' is missing")
    t.expect_error("block-export-add", add("x", "node1", nosuch=True), error="Parameter 'nosuch' is unexpected")

    t.step("the newest is told first, by id and node")
    told = [f"{export['id']} {export['node-name']}" for export in t.ask_list("query-block-exports")]
    newest = ["export3 disk0-node", "export2 disk0-node", "export1 node1", "again disk0-node", "disk0 disk0-node"]
    t.expect("exports", told, [*newest])

    t.step("clients know them by name")
    for name in ("disk0", "again", "", "a%20b"):
        t.expect(f"the export {name!r}", compared(name), "Images are identical.")
    for name in ("export1", "export2", "disk0-node", "nope"):
        t.expect(f"the export {name!r}", compared(name), "Requested export not available")
