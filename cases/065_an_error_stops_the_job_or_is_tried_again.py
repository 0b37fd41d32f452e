"""With on-target-error=stop a client resumes the job after an error; with ignore it tries again by itself."""

import errno

from backcheck import Case, FailOnce, MiB, case


@case(rules=["POL-01", "POL-03", "POL-04", "POL-05", "POL-10"], groups=["error", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    first, second = (t.node(name, size=4 * MiB, fault=FailOnce("write", errno.EIO)) for name in ("target0", "target1"))

    t.step("stop: it waits, and remembers why")
    job = t.blockdev_backup(disk, first, on_target_error="stop", speed=MiB)
    job.event("BLOCK_JOB_ERROR", operation="write", action="stop")
    t.poll(lambda: job.query()["status"] == "paused", "the job to pause")
    job.expect_query(status="paused", paused=True, io_status="failed")
    job.expect_refused("pause")

    t.step("resumed, it forgets, and copies what failed")
    job.resume()
    job.expect_query(status="running", paused=False, io_status="ok")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, error=None)

    t.step("ignore: it tells, and goes on")
    job = t.blockdev_backup(disk, second, on_target_error="ignore")
    job.event("BLOCK_JOB_ERROR", operation="write", action="ignore")
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, error=None)

    t.shutdown()
    for name in ("target0.img", "target1.img"):
        t.existing_image(name).expect_identical(disk.content)
