"""Errors that are ignored cost an increment nothing: what failed is copied after all, and nothing is owed."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["POL-03", "BMP-03", "SYNC-11", "EVT-04"], groups=["bitmap", "error"])
def run(t: Case) -> None:
    fault = FailOnce("read", errno.EIO, offset=2 * MiB)
    image = t.image("disk0.img", size=4 * MiB, format="raw")
    image.write(0x11)
    disk = t.drive("disk0", image=image, fault=[fault, fault])
    full = FailOnce("write", errno.ENOSPC, offset=2 * MiB)
    target = t.node("target0", size=4 * MiB, format="raw", fault=[full, full])
    owed = disk.add_bitmap("b0", granularity=64 * KiB)
    for place in range(4):
        disk.write(0x22, offset=place * MiB, length=64 * KiB)

    t.step("one cluster fails twice on either side")
    job = t.blockdev_backup(
        disk, target, sync="incremental", bitmap=owed, on_source_error="ignore", on_target_error="ignore"
    )
    for operation in ("read", "read", "write", "write"):
        job.event("BLOCK_JOB_ERROR", operation=operation, action="ignore")
    job.wait().expect_completed().expect(len=256 * KiB, offset=256 * KiB)

    t.step("nothing is owed, and each place was copied")
    owed.expect(count=0, busy=False, recording=True)
    t.shutdown()
    wanted = target.content
    for place in range(4):
        wanted = wanted.written(0x22, place * MiB, 64 * KiB)
    target.expect_identical(wanted)
