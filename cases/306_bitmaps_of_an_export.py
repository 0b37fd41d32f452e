"""A bitmap is busy as long as it is exported; one that still records cannot go with an export for readers."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["EXP-06"], groups=["nbd", "export", "bitmap", "error", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.add_bitmap("below")
    disk = t.drive("disk0", image=t.image("disk0.img", backing=base))
    sealed = t.image("sealed.img", size=MiB)
    sealed.add_bitmap("auto")
    t.node("sealed", tree={"driver": "qcow2", "read-only": True, "file": {"driver": "file", "filename": sealed.name}})
    disk.write(0x11, offset=0, length=4 * MiB)
    marks = disk.add_bitmap("b0")
    done = disk.add_bitmap("b1", disabled=True)
    disk.write(0x22, offset=MiB, length=64 * KiB)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})

    def add(id: str, *bitmaps: str, writable: bool = False) -> JsonObject:
        named: JsonObject = {"type": "nbd", "id": id, "node-name": disk.node_name, "name": id}
        return {**named, "bitmaps": list(bitmaps), "writable": writable}

    t.step("one that records, and one that is not there")
    refused = "Enabled bitmap 'b0' incompatible with readonly export"
    t.expect_error("nbd-server-add", device="disk0", bitmap="b0", error=refused)
    t.expect_error("block-export-add", add("e0", "b1", "b0"), error=refused)
    t.expect_error("block-export-add", add("e0", "b1", "nope"), error="Bitmap 'nope' is not found")
    t.expect_error("nbd-server-add", device="disk0", bitmap="", error="Bitmap '' is not found")
    busy = "Bitmap 'b1' is currently in use by another operation and cannot be used"
    t.expect("exports", t.ask_list("query-block-exports"), [])
    done.expect(busy=False, recording=False)

    t.step("exported they are busy, each in one export")
    t.qmp("block-export-add", add("e0", "b0", writable=True))
    t.qmp("block-export-add", add("e1", "b1", "b1"))
    marks.expect(busy=True, recording=True, count=64 * KiB)
    done.expect(busy=True, recording=False, count=0)
    for verb in ("clear", "remove", "disable", "enable"):
        done.expect_refused(verb, error=busy)
    t.expect_error("nbd-server-add", device="disk0", name="e2", bitmap="b1", error=busy)
    job: JsonObject = {"job-id": "job0", "device": "disk0", "target": "t.img", "sync": "incremental", "bitmap": "b1"}
    t.expect_error("drive-backup", job, error=busy)
    disk.write(0x33, offset=2 * MiB, length=64 * KiB)
    marks.expect(busy=True, recording=True, count=128 * KiB)

    t.step("of a layer below, and of a node that nobody writes")
    t.qmp("nbd-server-add", device="disk0", name="e2", bitmap="below")
    t.qmp("nbd-server-add", device="sealed", bitmap="auto")

    t.step("free again")
    for name in ("e0", "e1"):
        t.qmp("nbd-server-remove", name=name)
        t.wait_event("BLOCK_EXPORT_DELETED")
    marks.clear()
    done.remove()
