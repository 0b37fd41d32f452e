"""What is measured of speed limits: how much a job copies in ten seconds, and how soon it obeys a higher limit.

Disks and targets hold nothing and cost nothing, so that the limit alone decides.
"""

import time

from bench.contestant import Contestant
from bench.images import GiB, MiB
from bench.measure import UNLIMITED, expect_success
from bench.session import Session

SPEEDS = (MiB, 10 * MiB, 100 * MiB)
"""Bytes a second."""
SECONDS = 10.5
"""Ten seconds, and half of one: at 1 MiB/s a chunk a second is copied, and the eleventh would come at the end."""
DISK = 2 * GiB
WOKEN_DISK = 2 * MiB
NEARLY_STOPPED = 1


def copied(contestant: Contestant) -> tuple[list[float], ...]:
    """The bytes that jobs have copied after `SECONDS`, for each of `SPEEDS`; all run at the same time."""
    arguments = [argument for number in range(len(SPEEDS)) for argument in _nodes(number, DISK)]
    with Session(contestant.system, arguments) as session:
        started = []
        for number, speed in enumerate(SPEEDS):
            started.append(time.perf_counter())
            _start_backup(session, number, speed)
        offsets: dict[str, float] = {}
        for number, start in enumerate(started):
            time.sleep(max(0.0, start + SECONDS - time.perf_counter()))
            offsets |= {f"job{number}": _offset(session, f"job{number}")}
    return tuple([offset] for offset in offsets.values())


def woken(contestant: Contestant) -> tuple[list[float]]:
    """Seconds from the command that lifts a job's limit to the completion of a job that had a chunk left to copy."""
    with Session(contestant.system, _nodes(0, WOKEN_DISK)) as session:
        _start_backup(session, 0, NEARLY_STOPPED)
        while _offset(session, "job0") == 0:
            time.sleep(0.01)
        # From here on the job sleeps for days.
        started = time.perf_counter()
        session.execute("block-job-set-speed", device="job0", speed=UNLIMITED)
        outcome = session.wait("BLOCK_JOB_COMPLETED")
        seconds = time.perf_counter() - started
    expect_success(contestant, outcome, length=WOKEN_DISK)
    return ([seconds],)


def _nodes(number: int, size: int) -> list[str]:
    """Options for a disk that reads as data without being read, and for a target that forgets."""
    return [
        argument
        for name in ("disk", "target")
        for argument in ("-blockdev", f"driver=null-co,node-name={name}{number},size={size},read-zeroes=off")
    ]


def _start_backup(session: Session, number: int, speed: int) -> None:
    names = {"job_id": f"job{number}", "device": f"disk{number}", "target": f"target{number}"}
    session.execute("blockdev-backup", **names, sync="full", speed=speed)


def _offset(session: Session, job: str) -> int:
    """How many bytes a job has copied."""
    return next(int(element["offset"]) for element in session.execute("query-block-jobs") if element["device"] == job)
