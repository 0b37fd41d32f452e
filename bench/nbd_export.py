"""What is measured of exports: how fast nbdcopy reads one, and how long a guest waits while a moment is pulled."""

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contestant import Contestant
from bench.images import Image, run_img
from bench.measure import GUEST_WRITE, GUEST_WRITES_AT_MOST, PATTERN, SEED, forget, with_disk
from bench.session import Session, SessionError

_EXPORT = "disk"


def copied_to_nothing(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """nbdcopy of a whole export that keeps nothing: seconds from its start to its end."""
    with with_disk(contestant, source) as session, _exported(session, source.path.parent, "disk0-node") as url:
        return ([_seconds([url, "null:"])],)


def copied_to_file(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """nbdcopy of a whole export into a new file: seconds from its start to its end."""
    target = source.path.with_name("pulled.raw")
    with with_disk(contestant, source) as session, _exported(session, source.path.parent, "disk0-node") as url:
        seconds = _seconds([url, str(target)])
    _expect_identical(contestant, source, target)
    forget(target)
    return ([seconds],)


def guest_writes(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """Round trips of guest writes, one after the other all over the disk, as long as a pull backup runs.

    The point in time is kept by a backup with sync=none into an image on top of the disk, which is what is exported.
    """
    folder = source.path.parent
    disk = Image(path=folder / f"pulled.{source.format}", format=source.format, size=source.size)
    shutil.copyfile(source.path, disk.path)
    kept, pulled = folder / "kept.qcow2", folder / "pulled.raw"
    run_img("create", "-q", "-f", "qcow2", str(kept), str(source.size))
    offsets = random.Random(SEED)
    round_trips: list[float] = []
    with with_disk(contestant, disk) as session:
        _keep_point_in_time(session, kept)
        with _exported(session, folder, "kept") as url, _running(["nbdcopy", url, str(pulled)]) as copy:
            while copy.poll() is None and len(round_trips) < GUEST_WRITES_AT_MOST:
                offset = offsets.randrange(disk.size // GUEST_WRITE) * GUEST_WRITE
                started = time.perf_counter()
                session.human(f'qemu-io disk0 "write -P {PATTERN} {offset} {GUEST_WRITE}"')
                round_trips.append(time.perf_counter() - started)
            if copy.wait():
                raise SessionError(f"{contestant.name}: nbdcopy failed")
    _expect_identical(contestant, source, pulled)
    for path in (disk.path, kept, pulled):
        forget(path)
    return (round_trips,)


def _keep_point_in_time(session: Session, kept: Path) -> None:
    file = {"driver": "file", "filename": str(kept)}
    session.execute("blockdev-add", driver="qcow2", node_name="kept", file=file, backing="disk0-node")
    session.execute("blockdev-backup", job_id="job0", device="disk0", target="kept", sync="none")


@contextmanager
def _exported(session: Session, folder: Path, node: str) -> Iterator[str]:
    """The URL of an export of `node`, for readers; it ends with the program."""
    socket = folder / "export.sock"
    session.execute("nbd-server-start", addr={"type": "unix", "data": {"path": str(socket)}})
    session.execute("block-export-add", type="nbd", id="export0", node_name=node, name=_EXPORT)
    try:
        yield f"nbd+unix:///{_EXPORT}?socket={socket}"
    finally:
        socket.unlink(missing_ok=True)


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _seconds(arguments: list[str]) -> float:
    program = shutil.which("nbdcopy")
    if program is None:
        raise SessionError("nbdcopy: no such program")
    started = time.perf_counter()
    subprocess.run([program, *arguments], check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def _expect_identical(contestant: Contestant, source: Image, copy: Path) -> None:
    """See that what was pulled is what the disk had."""
    command = ["qemu-img", "compare", "-f", source.format, "-F", "raw", str(source.path), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SessionError(f"{contestant.name}: what was pulled is something else: {done.stdout.strip()}")
