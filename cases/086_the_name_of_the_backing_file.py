"""A backing file is named as QEMU has it: not by a filter's name, relative as it was, by json if it has no name."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["TGT-08", "TGT-09", "TGT-10", "TGT-11", "ERR-34"], groups=["target", "sync", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=MiB, length=64 * KiB)
    t.drive("disk0", image=overlay)
    t.node("below0", size=MiB)
    above = t.image("above0.img", size=MiB)
    t.node("null0", tree={"driver": "null-co", "size": MiB})
    t.start()
    t.node("filter0", tree={"driver": "blkdebug", "image": "disk0-node"})
    file: JsonObject = {"driver": "file", "filename": above.name}
    t.node("above0", tree={"driver": "qcow2", "backing": "below0", "file": file})

    t.step("top of a filter is over the backing file of what is filtered")
    job = t.drive_backup("filter0", "top.img", sync="top", format="qcow2")
    job.wait().expect_completed().expect(len=64 * KiB)
    info = job.target.info()
    named = [info["backing-filename"], info["backing-filename-format"]]
    t.expect("backing of top.img", named, ["base.img", "qcow2"])

    t.step("none is over the filter; over a disk without a file; over one that lies over another than it says")
    for node in ("filter0", "null0", "above0"):
        job = t.drive_backup(node, f"none-{node}.img", sync="none", format="qcow2")
        job.cancel().wait().expect_cancelled()

    t.step("a relative name counts from the target's folder: top looks there before it makes the target, none does not")
    folder = overlay.path.with_name("sub")
    folder.mkdir()
    job = t.drive_backup("disk0", "sub/none.img", sync="none")
    job.cancel().wait().expect_cancelled()
    missing = "Could not open 'sub/base.img': No such file or directory"
    wanted = {"job-id": "job9", "device": "disk0", "target": "sub/top.img", "sync": "top"}
    t.expect_error("drive-backup", wanted, error=missing)
    t.expect("files in sub", sorted(path.name for path in folder.iterdir()), ["none.img"])

    t.step("top opens the backing file again, when the target is there: it must not be open for writing")
    locked = 'Could not open backing file: Failed to get shared "write" lock'
    wanted = {"job-id": "job9", "device": "above0", "target": "locked.img", "sync": "top"}
    t.expect_error("drive-backup", wanted, error=locked)
    t.expect("backing of locked.img", t.existing_image("locked.img").info()["backing-filename"], "below0.img")
