"""Going to the background (-daemonize) and the file with the process id (-pidfile).

The fork happens before there is a loop, a thread or a lock. The parent stays until the daemon is ready or has failed,
so that errors reach whoever started it.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from backcheck_engine.errors import OptionError
from backcheck_engine.release import QEMU_7_2, current

_READY: Final = b"\0"


class Daemon:
    """The child's side of a daemon."""

    def __init__(self, ready: int) -> None:
        self._ready = ready

    def announce(self) -> None:
        """Let go of the terminal and tell the parent to end, successfully."""
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        os.write(self._ready, _READY)
        os.close(self._ready)


def daemonize() -> Daemon:
    """Fork; returns in the daemon. The parent ends here, with the daemon's success or failure."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        succeeded = os.read(reader, 1) == _READY
        os._exit(0 if succeeded else 1)
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0o027)
    return Daemon(writer)


def write_pidfile(path: str) -> None:
    """Write this process's id to `path`, and hold a lock on the file while the process lives. Raises OptionError."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"Could not create '{path}'" if current() >= QEMU_7_2 else "Cannot open pid file"
        raise OptionError(f"cannot create PID file: {what}: {error.strerror}") from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OptionError("cannot create PID file: Cannot lock pid file: Resource temporarily unavailable") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
