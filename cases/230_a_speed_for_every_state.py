"""A speed set while the job is paused or stopped holds when it goes on; a refused one changes nothing."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, between, case


@case(rules=["SPD-01", "SPD-02", "SPD-06", "POL-11", "EVT-15"], groups=["speed", "error", "job"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    target = t.node("target0", size=4 * MiB, format="raw", fault=FailOnce("write", errno.EIO, offset=0))

    t.step("stopped by an error at once, and slowed down meanwhile")
    job = t.blockdev_backup(disk, target, on_target_error="stop", speed=MiB, auto_finalize=False)
    job.stopped("write")
    for speed in (-1, -(2**63)):
        job.expect_refused("set-speed", "block-job", {"speed": speed})
    job.expect_query(speed=MiB)
    job.set_speed(2**63 - 1)
    job.expect_query(status="paused", speed=2**63 - 1, offset=0)
    job.set_speed(64 * KiB)
    job.resume()
    job.wait_offset()
    job.expect_query(status="running", speed=64 * KiB, offset=between(64 * KiB, 2 * MiB))

    t.step("unlimited from now on")
    job.set_speed(0)
    job.wait()
    job.expect_query(status="pending", offset=4 * MiB)

    t.step("pending: no speed is taken any more, and the last event has the one before")
    job.expect_refused("set-speed", "block-job", {"speed": 5})
    job.expect_refused("set-speed", "block-job", {"speed": -1})
    job.expect_query(status="pending", speed=0)
    job.finalize().wait().expect_completed().expect(speed=0)

    t.step("a job begun with a speed may never reach it: so the event has it")
    job = t.blockdev_backup(disk, target, speed=2**63 - 1)
    job.wait().expect_completed().expect(speed=2**63 - 1)
    t.shutdown()
    target.expect_identical(disk)
