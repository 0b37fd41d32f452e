"""What becomes of a job whose target fails the third write is its policy's affair, and no cluster is written twice."""

import errno
from typing import Literal, TypedDict

from backcheck import Case, JsonObject, KiB, MiB, case


class OneByOne(TypedDict, total=False):
    """How to have one write at a time; 5.2 has no other way, and no argument for it."""

    x_perf: JsonObject


ONE_BY_ONE: JsonObject = {"max-workers": 1, "max-chunk": 64 * KiB}

STOPPING: tuple[tuple[Literal["stop", "enospc"], int, str], ...] = (
    ("stop", errno.EIO, "failed"),
    ("enospc", errno.ENOSPC, "nospace"),
)


@case(
    rules=["POL-01", "POL-02", "POL-03", "POL-04", "POL-05", "POL-06", "POL-07"],
    groups=["nbd", "error", "quick"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    schema = t.command_schema("blockdev-backup")
    one_by_one: OneByOne = {"x_perf": ONE_BY_ONE} if schema and "x-perf" in schema.arguments else {}

    t.step("report: it fails, and nothing more is written")
    target = t.recording_target("target0", size=MiB)
    target.fail("write", errno.ENOSPC, after=2, times=None)
    job = t.backup(disk, target, **one_by_one).wait()
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.expect(error="No space left on device", offset=128 * KiB)
    target.record_requests("write")

    t.step("ignore: it goes on, and comes back to the cluster")
    target = t.recording_target("target1", size=MiB)
    target.fail("write", errno.EIO, after=2)
    job = t.backup(disk, target, on_target_error="ignore", **one_by_one).wait().expect_completed()
    job.event("BLOCK_JOB_ERROR", operation="write", action="ignore")
    target.expect_written_once()
    target.expect_identical(disk)

    for number, (policy, failure, status) in enumerate(STOPPING, 2):
        t.step(f"{policy}: it waits, and then comes back to the cluster")
        target = t.recording_target(f"target{number}", size=MiB)
        target.fail("write", failure, after=2)
        job = t.backup(disk, target, on_target_error=policy, **one_by_one)
        job.stopped("write")
        job.expect_query(io_status=status, offset=128 * KiB)
        target.expect_written_once((0, 128 * KiB))
        job.resume().wait().expect_completed()
        target.expect_written_once()
        target.expect_identical(disk)
