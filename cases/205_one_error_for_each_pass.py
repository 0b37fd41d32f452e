"""However many requests fail at once there is one BLOCK_JOB_ERROR, when the last has ended, about the first to fail."""

import errno

from backcheck import Case, FailAlways, MiB, case


@case(rules=["POL-08", "POL-09"], groups=["error", "race"])
def run(t: Case) -> None:
    # Before 6.0 one cluster is copied after the other: then the read is all that fails.
    parallel = t.release >= (6, 0)
    bad = FailAlways("read", errno.EIO, offset=0, until="flush_to_os")
    disk = t.drive("disk0", size=3 * MiB, format="raw", fault=bad, breakpoints=True)
    disk.image.write(0x11)
    full = FailAlways("write", errno.ENOSPC, until="flush_to_os")
    target = t.drive("target0", size=3 * MiB, format="raw", fault=full, breakpoints=True)

    t.step("the first read is held; a write fails meanwhile, and nothing is told yet")
    reading, writing = disk.hold("read_aio", tag="reading"), target.hold("write_aio", tag="writing")
    job = t.blockdev_backup(disk, target, on_source_error="stop", on_target_error="stop")
    reading.wait()
    if parallel:
        writing.wait()
    writing.release()
    job.expect_query(status="running", io_status="ok", paused=False)

    t.step("the read fails too, and all three errors are told as that of a write")
    reading.release()
    job.stopped("write" if parallel else "read")
    job.expect_query(status="paused", io_status="nospace" if parallel else "failed", offset=0)

    t.step("the target is mended: what was copied beside the bad read counts")
    target.flush()
    job.resume()
    job.stopped("read")
    job.expect_query(status="paused", io_status="failed", offset=2 * MiB if parallel else 0)

    t.step("both are mended")
    disk.flush()
    job.resume()
    job.wait().expect_completed().expect(len=3 * MiB, offset=3 * MiB)
    t.shutdown()
    target.expect_identical(disk.content)
