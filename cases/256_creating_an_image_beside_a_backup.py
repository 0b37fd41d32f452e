"""blockdev-create makes an image while a backup runs; it is a job among the others, and the image can be a target."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["JOB-22", "JOB-13", "JOB-14", "JOB-11"], groups=["job", "create", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    before = disk.content
    backup = t.drive_backup(disk, "target.img", speed=64 * KiB)

    t.step("a file, then an image in it")
    jobs = []
    options: tuple[JsonObject, ...] = (
        {"driver": "file", "filename": "created.img", "size": 0},
        {"driver": "qcow2", "file": "file0", "size": 4 * MiB, "cluster-size": 128 * KiB},
    )
    for number, each in enumerate(options):
        job = t.job(f"create{number}", t.exchange("blockdev-create", {"job-id": f"create{number}", "options": each}))
        job.reach("concluded")
        jobs.append(job)
        if number == 0:
            t.qmp("blockdev-add", {"driver": "file", "node-name": "file0", "filename": "created.img"})

    t.step("all are jobs, newest first, and one is a block job")
    t.expect("jobs", [job["id"] for job in t.ask_list("query-jobs")], ["create1", "create0", backup.id])
    t.expect("block jobs", [job["device"] for job in t.ask_list("query-block-jobs")], [backup.id])
    for job in jobs:
        t.record(job.id, job.query_job())
    again = {"job-id": backup.id, "options": options[0]}
    t.expect_error("blockdev-create", again, error=f"Job ID '{backup.id}' already in use")
    t.expect_error("blockdev-create", {"job-id": "create1", "options": options[0]})
    t.expect_error("blockdev-create", {"job-id": "", "options": options[0]}, error="Invalid job ID ''")

    t.step("dismissed in any order, they leave the backup alone")
    for job in jobs:
        job.dismiss().reach("null")
    t.expect("jobs", [job["id"] for job in t.ask_list("query-jobs")], [backup.id])
    backup.set_speed(0)
    backup.wait().expect_completed()

    t.step("what was created takes the next backup")
    t.qmp("blockdev-add", {"driver": "qcow2", "node-name": "created", "file": "file0"})
    t.blockdev_backup(disk, "created").wait().expect_completed()
    t.shutdown()
    for name in ("target.img", "created.img"):
        t.existing_image(name, format="qcow2").expect_identical(before)
