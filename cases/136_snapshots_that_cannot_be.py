"""A snapshot onto what is no overlay is refused, alone and in a transaction, and the drive stays where it is."""

from backcheck import Action, Case, JsonObject, KiB, MiB, case


@case(rules=["TXN-01", "GRAPH-07"], groups=["transaction", "snapshot", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.drive("disk1", size=4 * MiB)
    backed = t.image("backed.img", backing=t.image("base.img", size=4 * MiB))
    t.node("backed0", tree={"driver": "qcow2", "file": {"driver": "file", "filename": "backed.img"}})
    t.node("raw0", size=4 * MiB, format="raw")
    owed = disk.add_bitmap("b0")
    disk.write(0x11, offset=0, length=64 * KiB)
    overlays = {
        "no node": "nope",
        "a node that a drive is on": "disk1-node",
        "a node that has a backing file": "backed0",
        "a node whose driver has no backing files": "raw0",
        "itself": "disk0-node",
    }
    for title, overlay in overlays.items():
        t.step(f"blockdev-snapshot: the overlay is {title}")
        data: JsonObject = {"node": "disk0-node", "overlay": overlay}
        t.expect_error("blockdev-snapshot", data)
        t.expect_transaction_error(owed.action("clear"), Action("blockdev-snapshot", data))
    t.step("blockdev-snapshot: there is no such node")
    t.expect_error("blockdev-snapshot", node="nope", overlay="raw0")

    new = {"device": "disk0", "snapshot-file": "layer0.img", "snapshot-node-name": "layer0"}
    changes: dict[str, JsonObject] = {
        "no such drive": {"device": "nope"},
        "no such folder": {"snapshot-file": "nodir/layer0.img"},
        "no such format": {"format": "nosuch"},
        "a format without backing files": {"format": "raw"},
        "a node-name that is taken": {"snapshot-node-name": "raw0"},
        "a node-name that cannot be": {"snapshot-node-name": "0"},
        "a file that is not there": {"snapshot-file": "missing.img", "mode": "existing"},
        "its own file": {"snapshot-file": "disk0.img"},
    }
    for title, change in changes.items():
        t.step(f"blockdev-snapshot-sync: {title}")
        t.expect_error("blockdev-snapshot-sync", {**new, **change})
        t.expect_transaction_error(owed.action("clear"), Action("blockdev-snapshot-sync", {**new, **change}))

    t.step("nothing has come of it")
    t.expect_state("drive disk0", t.inserted(disk), node_name="disk0-node", backing_file_depth=0)
    owed.expect(count=64 * KiB)
    disk.read(0x11, offset=0, length=64 * KiB)
    t.shutdown()
    t.expect("backing file", backed.info()["backing-filename"], "base.img")
