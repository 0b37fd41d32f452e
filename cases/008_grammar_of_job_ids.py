"""A job id is a letter, then letters, digits, '-', '.' and '_', of any length."""

from backcheck import Case, MiB, case

VALID = ["j", "Job-1.backup_2", "x" * 200]
INVALID = ["", "1abc", "-a", "_a", "a b", "#x", "a/b", "\u00e9t\u00e9"]


@case(rules=["ARG-10", "ERR-32", "ERR-36"], groups=["arg", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.node("target0", size=MiB)

    t.step("these are refused, and none leaves a job or a busy disk")
    for job_id in INVALID:
        t.expect_error(
            "blockdev-backup",
            {"job-id": job_id, "device": "disk0", "target": "target0", "sync": "full"},
            error=f"Invalid job ID '{job_id}'",
        )
    t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("these are taken")
    for job_id in VALID:
        t.blockdev_backup(disk, target, job_id=job_id).wait().expect_completed()
