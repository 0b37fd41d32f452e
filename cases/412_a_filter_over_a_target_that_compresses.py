"""Whether a target can compress is its driver's to say, or that of what a filter filters; no byte goes before."""

from backcheck import Case, JsonObject, MiB, case

REFUSED = "Compression is not supported for this drive "


@case(rules=["CMP-01", "ERR-27"], groups=["compress", "target", "quick"], requires=["driver:throttle"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.start("-object", "throttle-group,id=group0")
    disk.write(0x11, offset=0, length=2 * MiB)
    before = disk.content
    below: JsonObject = {"driver": "file", "filename": "throttle.img"}
    targets = {name: t.image(f"{name}.img", size=4 * MiB) for name in ("throttle", "copy-on-read")}
    t.image("flat.img", size=4 * MiB, format="raw")
    flat: JsonObject = {"driver": "raw", "file": {"driver": "file", "filename": "flat.img"}}
    nothing: JsonObject = {"driver": "null-co", "size": 4 * MiB}

    t.step("refused: raw over anything, and filters over what cannot")
    trees: dict[str, JsonObject] = {
        "flat0": flat,
        "null0": nothing,
        "throttled-flat": {"driver": "throttle", "throttle-group": "group0", "file": flat},
        "throttled-null": {"driver": "throttle", "throttle-group": "group0", "file": nothing},
        "copying-flat": {"driver": "copy-on-read", "file": flat},
        "raw-qcow2": {"driver": "raw", "file": {"driver": "qcow2", "file": below}},
    }
    for name, tree in trees.items():
        t.qmp("blockdev-add", {"node-name": name, **tree})
        wanted = {"job-id": "job9", "device": "disk0", "target": name, "sync": "full", "compress": True}
        t.expect_error("blockdev-backup", wanted, error=REFUSED)
        t.qmp("blockdev-del", node_name=name)

    t.step("accepted: filters over qcow2")
    for driver, more in (("throttle", {"throttle-group": "group0"}), ("copy-on-read", {})):
        target = targets[driver]
        qcow2 = {"driver": "qcow2", "file": {"driver": "file", "filename": target.name}}
        t.qmp("blockdev-add", {"node-name": "filter0", "driver": driver, **more, "file": qcow2})
        t.blockdev_backup(disk, "filter0", compress=True).wait().expect_completed()
        t.qmp("blockdev-del", node_name="filter0")
        target.expect_identical(before)
        target.expect_clean()
        t.expect_state(target.name, target.check(), allocated_clusters=32, compressed_clusters=32)
