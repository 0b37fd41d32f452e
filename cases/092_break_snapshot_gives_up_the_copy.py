"""With on-cbw-error=break-snapshot a guest's write goes on when it cannot be copied before, and the copy is spoiled."""

import errno

from backcheck import Case, FailOnce, MiB, case


@case(rules=["CBW-09", "CBW-10", "ARG-22"], groups=["cbw", "error", "release"])
def run(t: Case) -> None:
    fault = FailOnce("write", errno.EIO, offset=6 * MiB)
    disks = [t.drive(f"disk{number}", size=8 * MiB) for number in range(2)]
    targets = [t.node(f"target{number}", size=8 * MiB, format="raw", fault=fault) for number in range(2)]
    for disk in disks:
        disk.write(0x11, offset=0, length=8 * MiB)

    t.step("none: the job runs on, and copies no more")
    schema = t.command_schema("blockdev-backup")
    if schema is None or "on-cbw-error" not in schema.arguments:
        wanted = {"device": "disk0", "target": "target0", "sync": "none", "on-cbw-error": "break-snapshot"}
        t.expect_error("blockdev-backup", wanted, error="Parameter 'on-cbw-error' is unexpected")
        return
    job = t.blockdev_backup(disks[0], targets[0], sync="none", on_cbw_error="break-snapshot")
    for offset in (MiB, 6 * MiB, 7 * MiB, 6 * MiB):
        disks[0].write(0x22, offset=offset, length=512)
    job.expect_query(status="running", io_status="ok", offset=64 * 1024)
    job.cancel().wait().expect_cancelled().expect(offset=64 * 1024)

    t.step("full: the job succeeds, with data of later")
    job = t.blockdev_backup(disks[1], targets[1], speed=1, on_cbw_error="break-snapshot", on_target_error="stop")
    start = job.wait_offset()
    disks[1].write(0x22, offset=6 * MiB, length=512)
    disks[1].write(0x22, offset=7 * MiB, length=512)
    t.expect("bytes copied for the guest", job.offset() - start, 0)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=8 * MiB)
    t.shutdown()
    targets[1].expect_identical(disks[1].content)
