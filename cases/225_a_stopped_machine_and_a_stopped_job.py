"""A job that an error has stopped waits for a client: cont of the machine forgives the error, and does not resume."""

import errno

from backcheck import Case, FailOnce, MiB, case


@case(rules=["JOB-18", "JOB-21", "POL-04", "POL-05"], groups=["job", "error", "machine"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, werror="stop", rerror="stop")
    disk.image.write(0x11)
    target = t.node("target0", size=4 * MiB, fault=FailOnce("write", errno.ENOSPC))
    t.qmp("cont")
    t.wait_event("RESUME")

    t.step("the error stops the job, not the machine")
    job = t.blockdev_backup(disk, target, on_target_error="auto", on_source_error="auto")
    job.stopped("write")
    t.qmp("query-status")
    t.expect("io-status of the disk", t.drive_info(disk).get("io-status", "ok"), "ok")

    t.step("the machine is stopped and goes on: the job does not, though its io-status is as if nothing had been")
    t.qmp("stop")
    t.wait_event("STOP")
    job.expect_query(status="paused", paused=True, io_status="nospace")
    t.qmp("cont")
    t.wait_event("RESUME")
    job.expect_query(status="paused", paused=True, io_status="ok")

    t.step("while the machine is stopped the job can go on")
    t.qmp("stop")
    t.wait_event("STOP")
    job.resume()
    job.wait().expect_completed()
    t.shutdown()
    target.expect_identical(disk)
