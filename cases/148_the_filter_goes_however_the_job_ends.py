"""The filter of a backup counts as a layer of its drive, and is gone however the job ends, before it is dismissed."""

import errno

from backcheck import Case, FailAlways, JsonValue, KiB, MiB, between, case


@case(rules=["FLT-01", "FLT-02", "FLT-03"], groups=["filter", "graph", "quick"], formats=["qcow2"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB, format="raw")
    base.write(0x11, offset=0, length=4 * MiB)
    disk = t.drive("disk0", image=t.image("overlay.img", backing=base))
    broken = t.node("target0", size=4 * MiB, fault=FailAlways("write", errno.EIO))
    own: dict[str, JsonValue] = {
        "node_name": "disk0-node",
        "drv": "qcow2",
        "file": "overlay.img",
        "backing_file_depth": 1,
    }
    t.expect_state("drive disk0", t.inserted(disk), **own)

    def expect_own_node() -> None:
        t.expect_state("drive disk0", t.inserted(disk), **own)

    t.step("while it runs; then it is cancelled")
    job = t.drive_backup(disk, "target.img", speed=64 * KiB, filter_node_name="filter0", auto_dismiss=False)
    inserted = t.inserted(disk)
    t.expect_state("drive disk0", inserted, node_name="filter0", file="overlay.img", backing_file_depth=2)
    t.record("drive disk0", inserted, keys=["drv", "ro", "backing_file"])
    job.cancel()
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    expect_own_node()
    job.dismiss().wait()

    t.step("it fails")
    job = t.blockdev_backup(disk, broken, filter_node_name="filter0", auto_dismiss=False)
    job.wait().expect(error="Input/output error")
    expect_own_node()
    job.dismiss().wait()

    t.step("it never starts: the name is free again")
    refused = {"job-id": "job2", "device": "disk0", "target": "new.img", "sync": "full", "filter-node-name": "filter0"}
    t.expect_error("drive-backup", {**refused, "speed": -1}, error="Parameter 'speed' expects a non-negative value")
    expect_own_node()
    filters = [node["node-name"] for node in t.nodes() if node["drv"] in ("copy-before-write", "backup-top")]
    t.expect("filters", filters, [])

    t.step("it succeeds")
    job = t.drive_backup(disk, "new.img", filter_node_name="filter0", auto_dismiss=False)
    job.wait().expect_completed()
    expect_own_node()
    job.dismiss().wait()
    job.target.expect_identical(disk.content)
