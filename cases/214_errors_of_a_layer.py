"""sync=top reads below its layer only to fill clusters: a broken base does no harm elsewhere, and is an error there."""

import errno

from backcheck import Case, FailAlways, FailOnce, KiB, MiB, case


@case(rules=["SYNC-06", "SYNC-08", "POL-01", "POL-04", "POL-05"], groups=["top", "error"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB, format="raw")
    base.write(0x11)
    broken = FailAlways("read", errno.EIO)
    t.node("broken", image=base, fault=broken)
    whole = t.image("whole.img", format="qcow2", backing=base)
    part = t.image("part.img", format="qcow2", backing=base, options={"cluster_size": "4k"})
    whole.write(0x22, offset=MiB, length=128 * KiB)
    part.write(0x22, offset=2 * MiB, length=4 * KiB)
    disks = [t.drive(f"disk{number}", image=image, backing="broken") for number, image in enumerate((whole, part))]
    fault = FailOnce("write", errno.EIO, offset=MiB + 64 * KiB)
    target = t.node("target0", size=4 * MiB, format="raw", fault=fault)

    t.step("whole clusters are copied, the base is not read; an error of the target stops the job once")
    job = t.blockdev_backup(disks[0], target, sync="top", on_target_error="stop")
    job.stopped("write")
    job.expect_query(status="paused", io_status="failed")
    job.resume()
    job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB)

    t.step("a part of a cluster is filled from the base, which is an error of the source")
    job = t.blockdev_backup(disks[1], target, sync="top", on_target_error="ignore")
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
    job.wait().expect(error="Input/output error", len=64 * KiB, offset=0)

    t.step("so is the guest's write there, which has to be copied before; the guest may write the whole layer else")
    job = t.blockdev_backup(disks[1], target, sync="top", speed=1, on_source_error="stop")
    job.stopped("read")
    disks[1].write(0x33, offset=2 * MiB, length=4 * KiB, expect="Input/output error")
    disks[1].write(0x33, offset=3 * MiB, length=4 * KiB)
    job.cancel()
    job.wait().expect_cancelled().expect(len=64 * KiB, offset=0)
    disks[1].write(0x33, offset=2 * MiB, length=4 * KiB)
    t.shutdown()
    target.expect_identical(target.content.written(0x22, MiB, 128 * KiB))
