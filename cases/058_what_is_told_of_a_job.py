"""query-block-jobs and query-jobs tell all of a job, the newest first."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["JOB-10", "JOB-11", "JOB-13", "JOB-20"], groups=["job", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB) for number in range(3)]
    for disk in disks:
        disk.write(0x11, offset=0, length=4 * MiB)
    t.expect("jobs", t.ask_list("query-block-jobs"), [])

    t.step("a job that is asleep, one that is pending, one that is concluded")
    asleep = t.drive_backup(disks[0], "target0.img", speed=1)
    pending = t.drive_backup(disks[1], "target1.img", auto_finalize=False)
    pending.wait()
    concluded = t.drive_backup(disks[2], "target2.img", auto_dismiss=False)
    concluded.wait()
    asleep.wait_offset()
    t.poll(lambda: not asleep.query()["busy"], "the job to sleep")

    t.step("query-block-jobs")
    for job in t.ask_list("query-block-jobs"):
        keys = sorted(key for key in job if not (job["device"] == "job0" and key == "offset"))
        t.record(f"job {job['device']}", job, keys=keys)
    t.expect("order", [job["device"] for job in t.ask_list("query-block-jobs")], ["job2", "job1", "job0"])

    t.step("query-jobs")
    for job in t.ask_list("query-jobs"):
        keys = sorted(key for key in job if not (job["id"] == "job0" and key == "current-progress"))
        t.record(f"job {job['id']}", job, keys=keys)
    t.expect("order", [job["id"] for job in t.ask_list("query-jobs")], ["job2", "job1", "job0"])

    t.step("the end of all three")
    asleep.cancel()
    asleep.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    pending.finalize().wait()
    concluded.dismiss()
