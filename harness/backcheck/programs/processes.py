"""Starting and ending programs, through the keeper (see keeper.py), so that none outlives the harness.

One keeper for each harness process, started at the first use. `start()` returns a Process; its end is seen by the loop.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backcheck.errors import CaseTimeout, ImplementationError
from backcheck.programs.event_loop import loop_thread

PACKET_SIZE = 1 << 20
KEEPER = Path(__file__).with_name("keeper.py")
START_TIMEOUT_S = 60.0
BUNDLED_PACKAGE = "backcheck_engine"


class Process:
    """A program that was started. `exit_status` is None while it runs, negative for a signal as in subprocess."""

    def __init__(self, keeper: "KeeperClient", name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.exit_status: int | None = None
        self.on_end: Callable[[], None] | None = None
        """Called once in the loop's thread when the program has ended."""
        self._keeper = keeper

    def wait(self, timeout_s: float) -> int | None:
        """The exit status, or None when the program still runs after that many seconds."""
        deadline = time.monotonic() + timeout_s
        with self._keeper.changed:
            while self.exit_status is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return None
                self._keeper.changed.wait(remaining)
            return self.exit_status

    def signal(self, number: int) -> None:
        """Sends a signal to the program and everything it started in its session; nothing happens after its end."""
        self._keeper.send({"kind": "signal", "pid": self.pid, "number": int(number)})

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        if self.exit_status is None:
            self.signal(signal.SIGKILL)
            self.wait(START_TIMEOUT_S)

    def describe_end(self) -> str:
        """How it ended: `qemu-system-x86_64 was killed by SIGABRT`, `… ended with status 1`."""
        if self.exit_status is None:
            return f"{self.name} still runs"
        if self.exit_status < 0:
            return f"{self.name} was killed by {signal.Signals(-self.exit_status).name}"
        return f"{self.name} ended with status {self.exit_status}"


class KeeperClient:
    """The harness's end of the control socket."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.changed = threading.Condition()
        self.alive = True
        self._processes: dict[int, Process] = {}
        self._starting: dict[int, str] = {}
        self._started: dict[int, Process] = {}
        self._token = 0
        self._loaded = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", str(KEEPER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        self._loop = loop_thread()
        self._loop.call(lambda: self._loop.loop.add_reader(self._socket.fileno(), self._receive))

    def send(self, message: Mapping[str, object], descriptors: Sequence[int] = ()) -> None:
        """Says one thing to the keeper; descriptors are copied to it."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        try:
            self._socket.sendmsg([json.dumps(message).encode()], rights)
        except OSError as error:
            raise ImplementationError(f"the process that starts programs is gone: {error}") from error

    def load_bundled(self) -> None:
        """Has the keeper import the engine, once, so that bundled programs start from a loaded process."""
        with self.changed:
            if self._loaded:
                return
            self._loaded = True
        self.send({"kind": "load", "path": sys.path, "package": BUNDLED_PACKAGE})

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        module: str | None,
        env: Mapping[str, str],
        cwd: Path,
        descriptors: Mapping[int, int],
    ) -> Process:
        if module is not None:
            self.load_bundled()
        with self.changed:
            self._token += 1
            token = self._token
            self._starting[token] = name
        self.send(
            {
                "kind": "start",
                "token": token,
                "argv": list(argv),
                "module": module,
                "env": dict(env),
                "cwd": str(cwd),
                "numbers": list(descriptors),
            },
            list(descriptors.values()),
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        with self.changed:
            while token not in self._started:
                if not self.alive or not self.changed.wait(max(0.0, deadline - time.monotonic())):
                    raise ImplementationError(f"{name} could not be started: the process that starts programs is gone")
            return self._started.pop(token)

    def _receive(self) -> None:
        """In the loop: takes one packet from the keeper."""
        try:
            data = self._socket.recv(PACKET_SIZE)
        except OSError:
            data = b""
        if not data:
            self._gone()
            return
        message = json.loads(data)
        if message["kind"] == "started":
            with self.changed:
                process = Process(self, self._starting.pop(message["token"]), message["pid"])
                self._processes[process.pid] = self._started[message["token"]] = process
                self.changed.notify_all()
        else:
            self._ended(message["pid"], message["status"])

    def _ended(self, pid: int, status: int) -> None:
        with self.changed:
            process = self._processes.pop(pid)
            process.exit_status = status
            self.changed.notify_all()
        if process.on_end is not None:
            process.on_end()

    def _gone(self) -> None:
        self._loop.loop.remove_reader(self._socket.fileno())
        with self.changed:
            self.alive = False
            pids = list(self._processes)
        for pid in pids:  # they ended with the keeper, by PR_SET_PDEATHSIG
            self._ended(pid, -signal.SIGKILL)

    def close(self) -> None:
        """Ends the keeper and with it every program."""
        if self.pid != os.getpid():
            return
        self._socket.shutdown(socket.SHUT_RDWR)
        self._keeper.wait(START_TIMEOUT_S)


_current: KeeperClient | None = None
_lock = threading.Lock()


def _keeper() -> KeeperClient:
    global _current  # one keeper for each process; a fork, or the end of a keeper, makes a new one
    with _lock:
        if _current is None or _current.pid != os.getpid() or not _current.alive:
            _current = KeeperClient()
            atexit.register(_current.close)
        return _current


def start(
    name: str,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    descriptors: Mapping[int, int],
    module: str | None = None,
) -> Process:
    """Starts a program.

    descriptors: the program's descriptor number (0, 1 and 2 must be among them) -> a descriptor of this process, which
    stays open here. module: a bundled program's module, whose `main()` runs in a loaded process instead of `argv[0]`.
    Raises ImplementationError when nothing can be started.
    """
    return _keeper().start(name, argv, module=module, env=env, cwd=cwd, descriptors=descriptors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A program that ran to its end: its exit status (negative for a signal) and all it printed."""

    status: int
    stdout: str
    stderr: str


def run_to_end(
    name: str,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    module: str | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> Finished:
    """Runs a program with empty stdin to its end. Raises CaseTimeout, having killed it, when it takes too long."""
    with (
        open(os.devnull, "rb") as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        descriptors = {0: stdin.fileno(), 1: stdout.fileno(), 2: stderr.fileno()}
        process = start(name, argv, cwd=cwd, env=env, module=module, descriptors=descriptors)
        status = process.wait(timeout_s)
        if status is None:
            process.kill()
            raise CaseTimeout(timeout_s, f"{name} {' '.join(argv[1:])} to end")
        return Finished(status=status, stdout=_text(stdout), stderr=_text(stderr))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
