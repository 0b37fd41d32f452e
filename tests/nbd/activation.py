"""Servers of others, started on a socket that listens already: a client never has to wait for them to be ready."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_nbdkit = pytest.mark.skipif(not shutil.which("nbdkit"), reason="nbdkit is not installed")
needs_qemu_nbd = pytest.mark.skipif(not shutil.which("qemu-nbd"), reason="qemu-nbd is not installed")
needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")

_ACTIVATE = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
"""What systemd does: the socket is descriptor 3."""
_OUT = (1, 2)


@contextmanager
def serving(path: Path, *command: str) -> Iterator[None]:
    """`command`, an nbdkit or qemu-nbd without a socket of its own, at `path` as long as the context is open."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        silence = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_WRONLY, 0) for number in _OUT]
        process = os.posix_spawnp(
            "sh",
            ["sh", "-c", _ACTIVATE, "sh", *command],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, listening.fileno(), 3), *silence],
        )
    try:
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        path.unlink()
