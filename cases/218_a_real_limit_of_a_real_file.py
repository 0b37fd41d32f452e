"""A target's file may not grow any more: the kernel's own error stops the job, and a lifted limit lets it end."""

from backcheck import Case, KiB, MiB, case


@case(rules=["POL-04", "POL-05", "POL-02", "POL-06", "CBW-07"], groups=["error", "target", "story"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    # What the guest writes later stands first in its own file, which is limited as well.
    disk.write(0x11, offset=3 * MiB, length=64 * KiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("too large is not full: enospc gives up")
    job = t.drive_backup(disk, "gave-up.img", format="raw", on_target_error="enospc", speed=1)
    job.wait_offset()
    t.limit_file_size(2 * MiB)
    job.set_speed(0)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="File too large", len=4 * MiB, offset=2 * MiB)

    t.step("stop waits; a guest's write that needs a copy there is refused as well")
    t.limit_file_size(None)
    job = t.drive_backup(disk, "target.img", format="raw", on_target_error="stop", speed=1)
    job.wait_offset()
    t.limit_file_size(2 * MiB)
    job.set_speed(0)
    job.stopped("write")
    job.expect_query(status="paused", io_status="failed", offset=2 * MiB)
    disk.write(0x22, offset=3 * MiB, length=512, expect="File too large")
    disk.write(0x22, offset=0, length=512)

    t.step("the limit is lifted")
    t.limit_file_size(None)
    disk.write(0x22, offset=3 * MiB, length=512)
    job.resume()
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(before)
