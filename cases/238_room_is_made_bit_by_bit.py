"""Each time there is a little more room the job goes as far as it reaches, and stops again: nothing is lost."""

from backcheck import Case, MiB, case


@case(rules=["POL-04", "POL-05", "POL-09"], groups=["error", "target", "story"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.node("target0", size=4 * MiB, format="raw")
    t.limit_file_size(MiB)

    t.step("one of four")
    job = t.blockdev_backup(disk, target, on_target_error="stop")
    job.stopped("write")
    job.expect_query(offset=MiB, io_status="failed")

    for room in (2, 3):
        t.step(f"{room} of four")
        t.limit_file_size(room * MiB)
        job.resume()
        job.stopped("write")
        job.expect_query(offset=room * MiB, io_status="failed")

    t.step("all")
    t.limit_file_size(None)
    job.resume()
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    target.expect_identical(before)
