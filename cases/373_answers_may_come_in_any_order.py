"""A job has several requests under way, and their answers may come in any order."""

from itertools import pairwise

from backcheck import Case, MiB, case


@case(
    rules=["SYNC-01", "EVT-04"],
    groups=["nbd", "quick"],
    formats=["qcow2", "raw"],
    not_on={"qemu<6.0": "it copies one cluster after the other (SPD-03)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    for index in range(4):
        disk.write(0x11 * (index + 1), offset=index * MiB, length=MiB)
    target = t.recording_target("target0", size=4 * MiB)

    t.step("the target answers nothing")
    quarters = [target.hold("write", offset=index * MiB, length=MiB, times=None) for index in range(4)]
    job = t.backup(disk, target)
    for held in quarters:
        held.wait()
    job.expect_query(offset=0, len=4 * MiB)

    t.step("the last comes first")
    for held in reversed(quarters):
        held.release()
    job.wait().expect_completed()
    firsts = [held.requests[0] for held in reversed(quarters)]
    for earlier, later in pairwise(firsts):
        t.expect_before(earlier.answered, later.answered)
    target.expect_written_once()
    target.expect_identical(disk)
