"""With auto-finalize and auto-dismiss off a job waits in pending and in concluded until it is told to go on."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-17", "EVT-07", "EVT-08", "EVT-11", "JOB-12"], groups=["arg", "event", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=128 * KiB)
    before = disk.content

    t.step("it stops in pending, and says so with a key of its own")
    job = t.drive_backup(disk, "target.img", auto_finalize=False, auto_dismiss=False)
    job.wait()
    job.expect_query(status="pending", auto_finalize=False, auto_dismiss=False, len=MiB, offset=MiB)

    t.step("finalize: all that follows comes before its reply")
    job.finalize()
    t.expect_before(job.event("BLOCK_JOB_COMPLETED"), job.verb_reply)
    t.expect_before(job.state("concluded"), job.verb_reply)
    job.expect(len=MiB, offset=MiB, error=None)
    job.expect_query(status="concluded", error=None)

    t.step("dismiss: so does the end")
    job.dismiss()
    t.expect_before(job.state("null"), job.verb_reply)
    t.expect("jobs", t.ask_list("query-jobs"), [])
    job.target.expect_identical(before)

    t.step("by default it waits for neither")
    t.drive_backup(disk, "second.img").wait().expect_completed()
    t.expect("jobs", t.ask_list("query-jobs"), [])
