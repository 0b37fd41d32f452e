"""block-job-set-speed takes 0 and more, in running and paused jobs, and wakes one that sleeps."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SPD-01", "SPD-02", "SPD-06", "EVT-15", "JOB-16"], groups=["job", "speed", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.drive_backup(disk, "target.img", speed=1)
    job.wait_offset()
    t.poll(lambda: not job.query()["busy"], "the job to sleep")

    t.step("both arguments are needed, and a speed is not negative")
    t.expect_error("block-job-set-speed", {"device": "job0"}, error="Parameter 'speed' is missing")
    t.expect_error("block-job-set-speed", {"speed": 1}, error="Parameter 'device' is missing")
    negative = {"device": "job0", "speed": -1}
    t.expect_error("block-job-set-speed", negative, error="Parameter 'speed' expects a non-negative value")
    job.expect_query(speed=1)

    t.step("a job that would sleep for weeks wakes at once")
    job.set_speed(512 * KiB)
    job.expect_query(speed=512 * KiB)
    job.pause()
    job.reach("paused")

    t.step("paused, it takes a new speed, and ends with it")
    job.set_speed(64 * MiB)
    job.resume()
    job.wait().expect_completed().expect(speed=64 * MiB)
