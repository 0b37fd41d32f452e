"""break-snapshot in an incremental backup: writes after the first failure go unsaved, and the bitmap is settled."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(
    rules=["CBW-09", "CBW-10", "ARG-22", "BMP-03"],
    groups=["cbw", "bitmap", "error", "release"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.image.write(0x11)
    fault = FailOnce("write", errno.EIO, offset=6 * MiB)
    target = t.node("target0", size=8 * MiB, format="raw", fault=fault)
    owed = disk.add_bitmap("b0")
    disk.write(0x22, offset=0, length=MiB)
    for place in (4, 6, 7):
        disk.write(0x22, offset=place * MiB, length=64 * KiB)

    t.step("one write is copied before, one not marked needs no copy, one cannot be copied, and later ones are not")
    schema = t.command_schema("blockdev-backup")
    if schema is None or "on-cbw-error" not in schema.arguments:
        wanted = {
            "device": "disk0",
            "target": "target0",
            "sync": "incremental",
            "bitmap": "b0",
            "on-cbw-error": "break-snapshot",
        }
        t.expect_error("blockdev-backup", wanted, error="Parameter 'on-cbw-error' is unexpected")
        owed.expect(count=MiB + 192 * KiB, busy=False)
        return
    job = t.blockdev_backup(
        disk, target, sync="incremental", bitmap=owed, on_cbw_error="break-snapshot", speed=1, on_target_error="stop"
    )
    start = job.wait_offset()
    for place in (4, 5, 6, 7):
        disk.write(0x33, offset=place * MiB, length=64 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 64 * KiB)
    job.expect_query(status="running", io_status="ok")

    t.step("the job succeeds, and owes what was written since its start")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=MiB + 192 * KiB, error=None)
    owed.expect(count=256 * KiB, busy=False)
    t.shutdown()
    content = target.content.written(0x22, 0, MiB).written(0x22, 4 * MiB, 64 * KiB)
    for place in (6, 7):
        content = content.written(0x33, place * MiB, 64 * KiB)
    target.expect_identical(content)
