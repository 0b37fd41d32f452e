"""An error of blockdev-create is that of its job, which keeps it, and its id, until it is dismissed or the end."""

from backcheck import Case, JsonObject, MiB, case

WRONG: tuple[JsonObject, ...] = (
    {"driver": "file", "filename": "nodir/created.img", "size": MiB},
    {"driver": "qcow2", "file": "file0", "size": MiB, "cluster-size": 513},
    {"driver": "qcow2", "file": "nope", "size": MiB},
    {"driver": "qcow2", "file": "file0", "size": MiB, "version": "v2", "lazy-refcounts": True},
    {"driver": "qcow2", "file": "file0", "size": MiB, "backing-file": "base.img", "preallocation": "full"},
)


@case(rules=["JOB-22", "JOB-12", "JOB-14", "QUIT-05"], groups=["job", "create", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    file = t.image("file0.img", size=MiB, format="raw")
    t.node("file0", tree={"driver": "file", "filename": file.name})
    file.write(0x11)
    jobs = []
    for number, options in enumerate(WRONG):
        job_id = f"create{number}"
        t.step(f"{job_id}: it fails, and says why")
        job = t.job(job_id, t.exchange("blockdev-create", {"job-id": job_id, "options": options}))
        job.reach("concluded")
        t.record(job_id, job.query_job())
        t.expect("error", bool(job.query_job().get("error")), True)
        jobs.append(job)

    t.step("what the schema or no driver takes makes no job")
    for wrong in ({"driver": "nope"}, {"driver": "qcow2", "file": "file0"}, {"driver": "raw", "file": "file0"}):
        t.expect_error("blockdev-create", {"job-id": "create9", "options": wrong})
    t.expect("jobs", len(t.ask_list("query-jobs")), len(WRONG))

    t.step("ids are taken until they are dismissed")
    refused = {"job-id": "create0", "device": "disk0", "target": "target.img", "sync": "full"}
    t.expect_error("drive-backup", refused, error="Job ID 'create0' already in use")
    jobs[0].dismiss().reach("null")
    again = t.drive_backup(disk, "target.img", mode="existing", job_id="create0")
    again.wait().expect_completed()

    t.step("or until the machine ends")
    t.quit()
    for job in jobs[1:]:
        job.state("null")
