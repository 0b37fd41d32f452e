"""A job that is cancelled by force waits for the target's answer to what is under way, and asks for nothing more."""

from backcheck import Case, KiB, MiB, case


@case(rules=["JOB-06", "EVT-06"], groups=["nbd", "cancel", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    target = t.recording_target("target0", size=4 * MiB)

    t.step("the target is late with the first answer")
    late = target.hold("write")
    job = t.backup(disk, target, speed=64 * KiB)
    first = late.wait()
    job.cancel("block-job", force=True)
    request = disk.aio_write(0x22, offset=3 * MiB, length=4 * KiB)
    t.expect("a job that is still there", job.is_listed(), True)

    t.step("it answers")
    late.release()
    job.wait().expect_cancelled()
    request.wait()
    t.expect_before(first.answered, job.event("BLOCK_JOB_CANCELLED"))
    target.expect_written_once((0, first.length), (3 * MiB, 64 * KiB))
