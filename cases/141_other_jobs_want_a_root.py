"""During a backup other block jobs and internal snapshots are refused: the drive is busy, and its node is no root."""

from backcheck import Case, MiB, case

NO_ROOT = "Need a root block node"


@case(
    rules=["GRAPH-08"],
    groups=["graph", "error", "quick"],
    not_on={"engine": "of all jobs it has backup and create, and no internal snapshots"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.node("mirror0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    job = t.drive_backup(disk, "target.img", auto_finalize=False)
    job.wait()

    for device in ("disk0", "disk0-node"):
        t.step(f"of {device}")
        t.expect_error("blockdev-snapshot-internal-sync", device=device, name="snapshot0", error=NO_ROOT)
        mirror = {"device": device, "job-id": "mirror", "sync": "full"}
        t.expect_error("drive-mirror", {**mirror, "target": "mirror.img"}, error=NO_ROOT)
        t.expect_error("blockdev-mirror", {**mirror, "target": "mirror0"}, error=NO_ROOT)
        t.expect_error("block-commit", {"device": device, "job-id": "commit"}, error=NO_ROOT)
        backing = {"device": device, "image-node-name": "disk0-node", "backing-file": "other.img"}
        t.expect_error("change-backing-file", backing, error=NO_ROOT)

    t.step("a stream goes into what the drive's id names, which is busy")
    busy = "Node 'disk0' is busy: block device is in use by block job: backup"
    t.expect_error("block-stream", device="disk0", job_id="stream", error=busy)

    t.step("nothing came of it")
    t.expect("mirror.img exists", t.existing_image("mirror.img").exists(), False)
    t.expect("jobs", [job["id"] for job in t.ask_list("query-jobs")], ["job0"])
    job.finalize().wait().expect_completed()
    job.target.expect_identical(before)
