"""What fails while a job is being paused is not told: it is copied again when the job goes on."""

import errno

from backcheck import Case, FailOnce, MiB, case


@case(rules=["POL-12", "JOB-16"], groups=["error", "job", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.write(0x11)
    fault = FailOnce("write", errno.EIO)
    target = t.drive("target0", size=MiB, format="raw", fault=fault, breakpoints=True)

    t.step("a write is held, and the job is to pause")
    held = target.hold("write_aio")
    job = t.blockdev_backup(disk, target)
    held.wait()
    job.pause()
    job.expect_query(paused=True, io_status="ok")

    t.step("the write fails: the job pauses, and its target has no error; before 6.0 it has, and the job ends")
    held.release()
    if t.release < (6, 0):
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
        job.wait().expect(error="Input/output error")
        return
    job.reach("paused")
    job.expect_query(status="paused", io_status="ok", offset=0)

    t.step("resumed it writes again")
    job.resume()
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    t.shutdown()
    target.expect_identical(disk)
