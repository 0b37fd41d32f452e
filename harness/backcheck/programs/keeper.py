"""The keeper: a process beside the harness that starts every program and sees that none outlives the harness.

It runs by path (`python -P keeper.py FD`), knows nothing of the harness, and is the only module that imports the
engine: bundled programs are forked from it, already loaded, with argv, environment, folder and file descriptors of
their own. To whoever talks to one it is a program like any other. Real programs are forked and executed.

Over the control socket (SOCK_SEQPACKET, one JSON object a packet) the harness says `load`, `start` (the descriptors
come along) and `signal`; the keeper says `started` and `ended`. When the control socket closes, however the harness
ended, the keeper kills what is left, also what had made itself a daemon, and ends.
"""

import array
import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import TextIO, TypedDict, cast

PACKET_SIZE = 1 << 20
MAX_DESCRIPTORS = 64
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
NOT_STARTED_STATUS = 127
_FIRST_FREE_DESCRIPTOR = 128
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartRequest(TypedDict):
    """What `start` says. numbers: of the descriptors, in the program; module: None to execute `argv[0]`."""

    token: int
    argv: list[str]
    module: str | None
    env: dict[str, str]
    cwd: str
    numbers: list[int]


class Keeper:
    """The process's state: the control socket and the children that run."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: set[int] = set()
        self.pid = os.getpid()

    def serve(self) -> None:
        """Answers the harness until its end of the control socket closes."""
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == wake_read:
                    os.read(wake_read, 4096)
                    self.reap()
                elif not self.receive():
                    return

    def receive(self) -> bool:
        """Takes one packet from the harness; False when there are no more."""
        size = array.array("i").itemsize
        data, ancillary, _, _ = self.control.recvmsg(PACKET_SIZE, socket.CMSG_SPACE(MAX_DESCRIPTORS * size))
        if not data:
            return False
        descriptors = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(payload[: len(payload) - len(payload) % size])
        request = json.loads(data)
        kind = request["kind"]
        if kind == "load":
            load(request["path"], request["package"])
        elif kind == "signal":
            self.signal(request["pid"], request["number"])
        elif kind == "start":
            self.start(request, list(descriptors))
        return True

    def send(self, message: dict[str, object]) -> None:
        self.control.send(json.dumps(message).encode())

    def start(self, request: StartRequest, descriptors: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            run_child(self.pid, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children.add(pid)
        self.send({"kind": "started", "token": request["token"], "pid": pid})

    def signal(self, pid: int, number: int) -> None:
        """Sends a signal to the process group of a child that has not been reaped."""
        if pid in self.children:
            try:
                os.killpg(pid, number)
            except ProcessLookupError:  # it has not made its group yet
                os.kill(pid, number)

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.children:
                self.children.discard(pid)
                self.send({"kind": "ended", "pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def kill_all(self) -> None:
        """Kills every descendant; daemons have become children of this process, a subreaper."""
        while children := child_pids(self.pid):
            for pid in children:
                for kill in (os.killpg, os.kill):
                    try:
                        kill(pid, signal.SIGKILL)
                    except (ProcessLookupError, PermissionError):
                        continue
            for pid in children:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue


def child_pids(parent: int) -> list[int]:
    """The children of a process, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def load(path: list[str], package_name: str) -> None:
    """Imports a package with all its modules, so that programs forked from here have them already.

    What cannot be imported is left to the program that needs it, and fails there.
    """
    sys.path[:] = path
    try:
        package = importlib.import_module(package_name)
    except Exception:  # as above
        return
    for module in pkgutil.walk_packages(package.__path__, f"{package_name}.", onerror=lambda _: None):
        with contextlib.suppress(Exception):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def run_child(keeper: int, request: StartRequest, descriptors: list[int]) -> None:
    """What the forked child does: becomes the program, and never returns."""
    status = NOT_STARTED_STATUS
    try:
        become_program(keeper, request, descriptors)
        module = request["module"]
        if module is None:
            os.execvpe(request["argv"][0], request["argv"], request["env"])
        status = run_bundled(module, request["argv"])
    except BaseException as error:
        os.write(2, f"{request['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(status)


def become_program(keeper: int, request: StartRequest, descriptors: list[int]) -> None:
    """Session, signals, folder, environment and descriptors as a program that was just started has them."""
    os.setsid()
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(NOT_STARTED_STATUS)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if request["module"] is None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    arrange_descriptors(descriptors, request["numbers"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])


def arrange_descriptors(descriptors: list[int], numbers: list[int]) -> None:
    """Gives each descriptor the number that the program expects and closes all others."""
    parked = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _FIRST_FREE_DESCRIPTOR) for descriptor in descriptors]
    os.closerange(0, _FIRST_FREE_DESCRIPTOR)
    for descriptor, number in zip(parked, numbers, strict=True):
        os.dup2(descriptor, number, inheritable=True)
    os.closerange(_FIRST_FREE_DESCRIPTOR, max(parked) + 1)


def run_bundled(module: str, argv: list[str]) -> int:
    """Runs the `main()` of a module as the console script of that program would, and returns its exit status."""
    _LIBC.prctl(PR_SET_NAME, argv[0].encode(), 0, 0, 0)
    result: object = None
    sys.argv[:] = argv
    # The keeper's own streams were made as this program's would have been, by the same environment.
    sys.stdin = standard_stream(0, "r", sys.stdin)
    sys.stdout = standard_stream(1, "w", sys.stdout)
    sys.stderr = standard_stream(2, "w", sys.stderr, buffering=1)
    try:
        result = importlib.import_module(module).main()
    except SystemExit as end:
        result = end.code
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        result = 1
    if result is not None and not isinstance(result, int):
        print(result, file=sys.stderr)
        result = 1
    # What the interpreter does at its end, as multiprocessing does it in the children that it forks.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue
    return (result or 0) & 0xFF


def standard_stream(descriptor: int, mode: str, like: TextIO, buffering: int = -1) -> TextIO:
    """A standard stream over a descriptor, with the encoding and error handler of another."""
    # Open until the program ends: hence no context manager.
    opened = open(descriptor, mode, buffering, encoding=like.encoding, errors=like.errors, closefd=False)  # noqa: SIM115
    return cast(TextIO, opened)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    keeper = Keeper(control)
    try:
        keeper.serve()
    except OSError:  # the harness is gone while something was said to it
        pass
    finally:
        if os.getpid() == keeper.pid:
            keeper.kill_all()


if __name__ == "__main__":
    main()
