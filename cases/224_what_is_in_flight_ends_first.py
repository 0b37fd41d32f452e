"""A job that is to pause or to be cancelled first ends what it has in flight; its reply does not wait for that."""

from backcheck import Case, MiB, case


@case(rules=["JOB-16", "EVT-06", "EVT-09"], groups=["job", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.write(0x11)
    target = t.drive("target0", size=MiB, format="raw", breakpoints=True)

    t.step("pause: it is said to be paused, and still runs")
    held = target.hold("write_aio")
    job = t.blockdev_backup(disk, target, auto_finalize=False)
    held.wait()
    job.pause()
    job.expect_query(status="running", paused=True)
    job.expect_refused("pause")
    job.resume()
    job.expect_query(status="running", paused=False)
    job.expect_refused("resume")
    held.release()
    job.wait()
    job.finalize().wait().expect_completed().expect(len=MiB)

    t.step("cancel: nothing is aborted before the write has ended")
    held = target.hold("write_aio")
    job = t.blockdev_backup(disk, target)
    held.wait()
    job.cancel()
    t.expect("status", job.query()["status"], "running")
    t.expect("last told", job.last_status(), "running")
    held.release()
    job.wait().expect_cancelled().expect(len=MiB, error=None)

    t.step("the disk is free again")
    job = t.blockdev_backup(disk, target)
    job.wait().expect_completed()
    t.shutdown()
    target.expect_identical(disk)
