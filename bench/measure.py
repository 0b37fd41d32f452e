"""What is measured. Each function runs one contestant once and returns lists of samples, in seconds or bytes."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bench.contestant import Contestant
from bench.images import Image, KiB
from bench.session import Session, SessionError

GUEST_WRITE = 64 * KiB
PATTERN = 0x5A
SEED = 2
GUEST_WRITES_AT_MOST = 400
UNLIMITED = 0


def backup(contestant: Contestant, source: Image, target_format: str) -> tuple[list[float], list[float]]:
    """A full backup into a new file: seconds from the command to its completion, and the peak memory in bytes."""
    target = source.path.with_name(f"target.{target_format}")
    with with_disk(contestant, source) as session:
        started = time.perf_counter()
        _start_backup(session, target, target_format, UNLIMITED)
        outcome = session.wait("BLOCK_JOB_COMPLETED")
        seconds = time.perf_counter() - started
        memory = session.peak_memory()
    forget(target)
    expect_success(contestant, outcome, length=source.size)
    return [seconds], [float(memory)]


def guest_writes(contestant: Contestant, source: Image, speed: int, compress: bool = False) -> tuple[list[float]]:
    """Round trips of guest writes, one after the other all over the disk, as long as a backup runs."""
    target = source.path.with_name(f"target.{source.format}")
    # Each run writes into a copy, so that none finds clusters that an earlier one allocated.
    disk = Image(path=source.path.with_name(f"disk.{source.format}"), format=source.format, size=source.size)
    shutil.copyfile(source.path, disk.path)
    offsets = random.Random(SEED)
    round_trips: list[float] = []
    with with_disk(contestant, disk) as session:
        _start_backup(session, target, source.format, speed, compress=compress)
        while len(round_trips) < GUEST_WRITES_AT_MOST:
            offset = offsets.randrange(disk.size // GUEST_WRITE) * GUEST_WRITE
            started = time.perf_counter()
            session.human(f'qemu-io disk0 "write -P {PATTERN} {offset} {GUEST_WRITE}"')
            round_trips.append(time.perf_counter() - started)
            # The write during which the job ends counts too: it may be the one that had to wait for all the rest.
            if session.happened("BLOCK_JOB_COMPLETED"):
                break
        session.human("qemu-io disk0 flush")
    _expect_written(contestant, disk, offset)
    forget(target)
    forget(disk.path)
    return (round_trips,)


def greeting(contestant: Contestant) -> tuple[list[float]]:
    """From the start of a cold program to its greeting."""
    with Session(contestant.system) as session:
        return ([session.greeting_s],)


def all_cases(contestant: Contestant, results: Path) -> tuple[list[float]]:
    """The wall time of all numbered cases at ``-n 2``."""
    program = str(Path(sys.executable).parent / "backcheck")
    command = [program, "run", "-n", "2", "--on", contestant.implementation, "--results", str(results)]
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SessionError(f"the cases do not pass on {contestant.name}:\n{done.stdout}{done.stderr}")
    return ([seconds],)


def expect_success(contestant: Contestant, outcome: Mapping[str, object], *, length: int) -> None:
    """See from a job's last event that it copied `length` bytes, in whole clusters."""
    if "error" in outcome or not outcome["offset"] == outcome["len"] == length:
        raise SessionError(f"{contestant.name}: the backup did not succeed: {outcome}")


def _expect_written(contestant: Contestant, disk: Image, offset: int) -> None:
    """See on the disk that a guest write took place: the monitor does not tell."""
    command = f"read -P {PATTERN} {offset} {GUEST_WRITE}"
    done = subprocess.run(
        ["qemu-io", "-f", disk.format, "-r", "-c", command, disk.path], capture_output=True, check=False
    )
    if done.returncode:
        raise SessionError(f"{contestant.name}: a guest write is not on the disk: {done.stdout.decode().strip()}")


def with_disk(contestant: Contestant, image: Image) -> Session:
    """The contestant with the image as its drive `disk0`, node `disk0-node`."""
    disk = f"if=none,id=disk0,node-name=disk0-node,file={image.path},format={image.format},cache=writeback"
    return Session(contestant.system, ["-drive", disk])


def _start_backup(session: Session, target: Path, target_format: str, speed: int, *, compress: bool = False) -> None:
    arguments = {"device": "disk0", "target": str(target), "format": target_format, "sync": "full", "speed": speed}
    session.execute("drive-backup", **arguments, compress=compress)


def forget(path: Path) -> None:
    """Remove a file, and let the disk come to rest so that the next run does not pay for this one."""
    path.unlink()
    os.sync()
