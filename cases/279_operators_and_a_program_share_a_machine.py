"""Two operators and a QMP client hold one job: each sees what the others did, and only QMP is told events."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-06", "HMP-08", "HMP-10", "JOB-05"], groups=["hmp", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    first, second = t.human_monitor("first"), t.human_monitor("second")
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("the program starts a job, an operator limits its speed, and both operators see that")
    job = t.drive_backup(disk, "target.img", sync="none", job_id=None)
    t.expect("answer", first.run("block_job_set_speed disk0 32k"), "")
    shown = "Type backup, device disk0: Completed 0 of 4194304 bytes, speed limit 32768 bytes/s\r\n"
    t.expect("jobs", [first.run("info block-jobs"), second.run("info block-jobs")], [shown, shown])

    t.step("one pauses it; it is paused for the other, and for the program")
    t.expect("answer", first.run("block_job_pause disk0"), "")
    t.expect("answer", second.run("block_job_pause disk0"), "Error: Job is already paused\r\n")
    job.expect_refused("pause")
    job.expect_query(paused=True)
    said = second.run("block_job_cancel disk0")
    t.expect("answer", said, "Error: The block job for device 'disk0' is currently paused\r\n")
    disk.write(0x22, offset=3 * MiB, length=64 * KiB)

    t.step("the other resumes and cancels it; its end is told to the program alone")
    t.expect("answer", second.run("block_job_resume disk0"), "")
    t.expect("answer", second.run("block_job_cancel disk0"), "")
    job.wait().expect_cancelled().expect(len=4 * MiB, offset=64 * KiB, speed=32 * KiB)
    for operator in (first, second):
        t.expect("jobs", operator.run("info block-jobs"), "No active jobs\r\n")
    t.shutdown()
    job.target.expect_identical(before)
