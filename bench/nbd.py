"""What is measured of backups to a server: a full backup to an export of qemu-nbd, over a unix socket.

The server is the same for both contestants, once with a file behind its export, once with nothing that costs time.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.contestant import Contestant
from bench.images import Image, run_img
from bench.measure import expect_success, forget, with_disk
from bench.session import SessionError

PAUSE_S = 0.01
PATIENCE = 500
"""How many pauses a server gets to end."""


def backup_to_file(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """A full backup into a new file behind the export: seconds from the command to its completion."""
    target = source.path.with_name("served.raw")
    run_img("create", "-q", "-f", "raw", str(target), str(source.size))
    seconds = _backup(contestant, source, ["--format", "raw", "--discard", "unmap", str(target)])
    forget(target)
    return ([seconds],)


def backup_to_nothing(contestant: Contestant, source: Image) -> tuple[list[float]]:
    """A full backup to an export that forgets what is written: seconds from the command to its completion."""
    options = f"driver=null-co,size={source.size},read-zeroes=on"
    return ([_backup(contestant, source, ["--image-opts", options])],)


def _backup(contestant: Contestant, source: Image, export: list[str]) -> float:
    with _server(source.path.parent, export) as socket, with_disk(contestant, source) as session:
        started = time.perf_counter()
        session.execute(
            "drive-backup",
            device="disk0",
            target=f"nbd+unix:///?socket={socket}",
            format="raw",
            mode="existing",
            sync="full",
        )
        outcome = session.wait("BLOCK_JOB_COMPLETED")
        seconds = time.perf_counter() - started
    expect_success(contestant, outcome, length=source.size)
    return seconds


@contextmanager
def _server(folder: Path, export: list[str]) -> Iterator[Path]:
    """A qemu-nbd that listens already; ends with the context."""
    program = shutil.which("qemu-nbd")
    if program is None:
        raise SessionError("qemu-nbd: no such program")
    socket, pid_file = folder / "nbd.sock", folder / "nbd.pid"
    command = [program, "--fork", "--persistent", "--socket", str(socket), "--pid-file", str(pid_file), *export]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    try:
        yield socket
    finally:
        _end(int(pid_file.read_text()))
        pid_file.unlink(missing_ok=True)


def _end(process: int) -> None:
    """End a program that is no child of ours."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        for _ in range(PATIENCE):
            time.sleep(PAUSE_S)
            os.kill(process, 0)
        os.kill(process, signal.SIGKILL)
