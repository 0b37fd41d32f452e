"""drive-backup has flushed its target before it reports success."""

from backcheck import Case, MiB, case


@case(
    rules=["TGT-16", "NBD-01"],
    groups=["nbd", "target", "quick"],
    not_on={"qemu<6.0": "the last event comes before the target is closed (TGT-16)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    server = t.recording_target("target0", size=MiB, node=False)

    t.step("the server does not answer the flush")
    held = server.hold("flush")
    job = t.drive_backup(disk, server.url, mode="existing", format="raw")
    flush = held.wait()

    t.step("it does")
    held.release()
    job.wait().expect_completed()
    t.expect_before(flush.answered, job.event("BLOCK_JOB_COMPLETED"))
    server.expect_flushed()
    server.expect_written_once()
    server.expect_identical(disk)
