"""A source that cannot tell what it holds is read by full, as data; top fails, whatever its policy."""

import errno

from backcheck import Case, FailAlways, MiB, case


@case(rules=["POL-15", "SYNC-02", "SYNC-05", "EVT-05"], groups=["error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, format="raw", fault=FailAlways("block-status", errno.EIO))
    disk.image.write(0x11, offset=MiB, length=MiB)
    existing = t.image("existing.img", size=4 * MiB, format="raw")
    existing.write(0x77)

    t.step("full")
    job = t.drive_backup(disk, existing, mode="existing", format="raw", on_source_error="stop")
    job.wait().expect_completed().expect(len=4 * MiB)
    existing.expect_identical(disk)

    t.step("top, of a disk without layers below")
    target = t.node("target0", size=4 * MiB, format="raw")
    job = t.blockdev_backup(disk, target, sync="top", on_source_error="stop")
    job.wait().expect(error="Input/output error", len=4 * MiB, offset=0)
