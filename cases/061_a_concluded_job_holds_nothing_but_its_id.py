"""A job that is concluded and not dismissed keeps its id, and lets its disks go."""

from backcheck import Case, MiB, case


@case(
    rules=["JOB-15", "ERR-32"],
    groups=["job", "quick"],
    not_on={"qemu<6.0": "a concluded job keeps its target until it is dismissed (TGT-16)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.node("target0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content
    concluded = t.blockdev_backup(disk, target, auto_dismiss=False)
    concluded.wait().expect_completed()

    t.step("the id is taken")
    refused = {"job-id": "job0", "device": "disk0", "target": "target0", "sync": "full"}
    t.expect_error("blockdev-backup", refused, error="Job ID 'job0' already in use")

    t.step("source and target are free")
    t.blockdev_backup(disk, target).wait().expect_completed()
    t.qmp("blockdev-del", node_name="target0")
    t.expect("jobs", [job["id"] for job in t.ask_list("query-jobs")], ["job0"])

    t.step("the id is free again once the job is dismissed")
    concluded.dismiss("block-job")
    job = t.drive_backup(disk, "target.img", job_id="job0")
    job.wait().expect_completed()
    job.target.expect_identical(before)
