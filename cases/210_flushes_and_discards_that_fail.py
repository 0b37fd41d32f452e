"""No backup flushes or discards: a target that fails at either holds a whole copy."""

import errno

from backcheck import Case, FailAlways, MiB, case


@case(rules=["TGT-18", "POL-01", "CBW-04"], groups=["error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, discard="unmap")
    disk.write(0x11, offset=0, length=MiB)
    disk.write(0x22, offset=2 * MiB, length=MiB)
    before = disk.content
    faults = [FailAlways(operation, errno.EIO) for operation in ("flush", "discard")]
    target = t.node("target0", size=4 * MiB, format="raw", fault=faults)

    t.step("full, and with a guest that discards and flushes meanwhile")
    job = t.blockdev_backup(disk, target, speed=1, on_target_error="stop")
    job.wait_offset()
    disk.discard(offset=2 * MiB, length=MiB)
    disk.flush()
    disk.write(0x33, offset=3 * MiB, length=MiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, error=None)

    t.step("the copy is whole")
    t.qmp("blockdev-del", node_name="target0")
    target.expect_identical(before)
