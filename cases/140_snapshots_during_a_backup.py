"""During a backup a snapshot is refused by the drive's id and taken by its node's name; the backup holds its moment."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-07", "SYNC-01"], groups=["graph", "snapshot", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", speed=64 * KiB, filter_node_name="filter0")

    t.step("by the drive's id, and by its filter's name, it is busy")
    overlay = {"snapshot-file": "overlay.img", "snapshot-node-name": "overlay0", "format": "qcow2"}
    busy = "Node 'disk0' is busy: block device is in use by block job: backup"
    t.expect_error("blockdev-snapshot-sync", {"device": "disk0", **overlay}, error=busy)
    t.expect("overlay.img exists", t.existing_image("overlay.img").exists(), False)

    t.step("by its node's name the overlay goes between the filter and the node")
    t.qmp("blockdev-snapshot-sync", {"node-name": "disk0-node", **overlay})
    t.expect_state("drive disk0", t.inserted(disk), node_name="filter0", file="overlay.img")
    disk.write(0x22, offset=3 * MiB, length=4 * KiB)
    disk.read(0x22, offset=3 * MiB, length=4 * KiB)
    disk.read(0x11, offset=3 * MiB + 4 * KiB, length=64 * KiB)

    t.step("the backup ends with the disk as it was; the guest writes to the overlay")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(before)
    t.expect_state("drive disk0", t.inserted(disk), node_name="overlay0", backing_file="disk0.img")
    t.shutdown()
    disk.image.expect_identical(before)
    t.existing_image("overlay.img", format="qcow2").expect_identical(disk.content)
