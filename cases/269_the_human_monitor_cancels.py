"""block_job_cancel ends a running backup; a paused one only with -f."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-08", "HMP-04", "JOB-03", "JOB-06", "EVT-10"], groups=["hmp", "job", "cancel", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)

    t.step("a job that there is not, and lines that cannot be read")
    t.expect("unknown", t.hmp("block_job_cancel disk0"), "Error: Block job 'disk0' not found\r\n")
    for rest in ("", " -f", " -x disk0", " disk0 now", " disk0 -f"):
        said = t.hmp(f"block_job_cancel{rest}")
        t.expect("hint", said.endswith('Try "help block_job_cancel" for more information\r\n'), True)

    t.step("running: -f is not needed")
    job = t.drive_backup(disk, "target.img", job_id=None, speed=64 * KiB)
    t.expect("answer", t.hmp("block_job_cancel disk0"), "")
    job.wait().expect_cancelled().expect(len=4 * MiB, speed=64 * KiB)

    t.step("paused: it is")
    job = t.drive_backup(disk, "target.img", job_id=None, speed=64 * KiB)
    job.pause().reach("paused")
    said = t.hmp("block_job_cancel disk0")
    t.expect("answer", said, "Error: The block job for device 'disk0' is currently paused\r\n")
    job.expect_query(status="paused", paused=True)
    t.expect("answer", t.hmp("block_job_cancel -f disk0"), "")
    job.wait().expect_cancelled()

    t.step("pending: -f is not needed; concluded: it does not help")
    job = t.drive_backup(disk, "target.img", job_id=None, auto_finalize=False, auto_dismiss=False)
    job.wait()
    t.expect("answer", t.hmp("block_job_cancel disk0"), "")
    job.reach("concluded")
    job.expect_cancelled().expect(offset=4 * MiB)
    t.hmp("block_job_cancel -f disk0")
    job.dismiss().wait()
