"""block_job_pause, _resume and _complete do and refuse what the QMP commands do, with "Error: " before the words."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-08", "JOB-04", "JOB-05", "JOB-09", "SPD-06"], groups=["hmp", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    def expect_same_error(verb: str, device: str) -> None:
        said = t.hmp(f"block_job_{verb} {device}")
        error = t.expect_error(f"block-job-{verb}", device=device)
        t.expect(f"{verb} {device}", said, f"Error: {error.description}\r\n")

    t.step("of a job that there is not")
    for verb in ("pause", "resume", "complete", "cancel"):
        expect_same_error(verb, "disk0")
        t.hmp(f"block_job_{verb}")

    t.step("of one that runs")
    job = t.drive_backup(disk, "target.img", job_id=None, speed=64 * KiB)
    expect_same_error("resume", "disk0")
    expect_same_error("complete", "disk0")

    t.step("paused by one monitor, it is paused for the other")
    t.expect("answer", t.hmp("block_job_pause disk0"), "")
    t.poll(lambda: job.query()["status"] == "paused", "the job to pause")
    job.expect_query(paused=True, busy=False)
    expect_same_error("pause", "disk0")
    expect_same_error("complete", "disk0")
    job.expect_refused("pause")
    disk.write(0x22, offset=3 * MiB, length=64 * KiB)

    t.step("resumed; and at full speed it ends")
    t.expect("answer", t.hmp("block_job_resume disk0"), "")
    job.expect_query(paused=False)
    expect_same_error("resume", "disk0")
    t.expect("answer", t.hmp("block_job_set_speed disk0 0"), "")
    job.wait().expect_completed().expect(speed=0)
    job.target.expect_identical(before)
