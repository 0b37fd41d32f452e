"""Without auto-finalize a job that errors have stopped is pending once they are past; one that fails never is."""

import errno

from backcheck import Case, FailAlways, FailOnce, MiB, case


@case(rules=["EVT-05", "EVT-07", "EVT-08", "EVT-11", "JOB-12", "POL-05", "BMP-05"], groups=["event", "error", "job"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    once, always = FailOnce("write", errno.ENOSPC), FailAlways("write", errno.ENOSPC)
    mended, broken = (t.node(f"target{number}", size=4 * MiB, fault=each) for number, each in enumerate((once, always)))
    owed = disk.add_bitmap("b0")
    disk.write(0x22, offset=MiB, length=MiB)

    t.step("stopped, resumed, pending: it can still be cancelled, and then owes all")
    job = t.blockdev_backup(
        disk, mended, sync="incremental", bitmap=owed, on_target_error="enospc", auto_finalize=False, auto_dismiss=False
    )
    job.stopped("write")
    job.expect_refused("finalize")
    job.resume()
    job.wait()
    job.expect_query(status="pending", io_status="ok", offset=MiB)
    owed.expect(count=MiB, busy=True)
    job.cancel().reach("concluded")
    job.expect_cancelled().expect(len=MiB, offset=MiB)
    job.expect_query(status="concluded", error="Operation canceled", io_status="ok")
    job.dismiss().reach("null")
    owed.expect(count=MiB, busy=False)

    t.step("failed: concluded at once, nothing to finalize")
    job = t.blockdev_backup(disk, broken, sync="incremental", bitmap=owed, auto_finalize=False, auto_dismiss=False)
    job.wait().expect(error="No space left on device", len=MiB)
    job.expect_refused("finalize")
    job.expect_refused("finalize", "block-job")
    t.expect_state("job", job.query_job(), status="concluded", error="No space left on device")
    job.dismiss("block-job").reach("null")
    owed.expect(count=MiB, busy=False)

    t.step("finalized at last")
    job = t.blockdev_backup(disk, mended, sync="incremental", bitmap=owed, auto_finalize=False)
    job.wait()
    owed.expect(count=MiB, busy=True)
    job.finalize("block-job").wait().expect_completed()
    owed.expect(count=0, busy=False)
