"""Jobs of every kind share their ids, but only block jobs are block jobs."""

from backcheck import Case, MiB, case


@case(rules=["JOB-14", "ERR-32"], groups=["job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.node("target0", size=MiB)
    t.node("file0", tree={"driver": "file", "filename": t.image("created.img", size=MiB, format="raw").name})

    t.step("blockdev-create is a job that stays until it is dismissed")
    options = {"driver": "qcow2", "file": "file0", "size": MiB}
    create = t.job("job0", t.exchange("blockdev-create", {"job-id": "job0", "options": options}))
    create.reach("concluded")
    t.expect("block jobs", t.ask_list("query-block-jobs"), [])
    [listed] = t.ask_list("query-jobs")
    t.expect_state("job job0", listed, id="job0", type="create", status="concluded")

    t.step("its id is taken, and it is no block job")
    refused = {"job-id": "job0", "device": "disk0", "target": "target0", "sync": "full"}
    t.expect_error("blockdev-backup", refused, error="Job ID 'job0' already in use")
    t.expect_error("block-job-dismiss", {"id": "job0"}, error_class="DeviceNotActive")

    t.step("dismissed, it makes room")
    create.dismiss("job")
    t.blockdev_backup(disk, target, job_id="job0").wait().expect_completed()
