"""With discard-source a chunk is discarded on the source after the target has it, once."""

from backcheck import Case, MiB, case


@case(rules=["FLT-08"], groups=["nbd", "filter", "quick"], requires=["argument:blockdev-backup.discard-source"])
def run(t: Case) -> None:
    source = t.recording_target("source0", size=MiB, node=False)
    disk = t.drive_over("disk0", source, discard="unmap")
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content
    target = t.recording_target("target0", size=MiB)
    source.forget()

    t.step("the target holds one chunk, and the source keeps it")
    held = target.hold("write")
    discarded = source.hold("trim")
    job = t.backup(disk, target, discard_source=True)
    first = held.wait()
    discarded.expect_none()

    t.step("the target has it, and the source gives it up")
    held.release()
    trim = discarded.wait()
    t.expect_before(first.answered, trim.arrived)
    discarded.release()
    job.wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(before)
    source.expect_read_once()
    source.expect_written_once(operations=("trim",))
