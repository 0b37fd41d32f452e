"""A program under attack: what it says, how long it takes, how much memory it takes, and whether it has crashed.

An answer has to come within `PATIENCE_S`. On a busy machine a program may not even have run for so long; so it is late
only when it has used that much processor time, or when it sits there and does nothing.
"""

import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 5.0
LONGEST_S = 60.0
"""However busy the machine is."""
MOST_MEMORY = 300 << 20
LARGEST_FILE = 64 << 20
"""What it creates on our behalf must not fill the disk."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Late(AssertionError):
    """No answer in time."""


class Watched:
    """A process in a folder of its own, which takes its crash reports too."""

    def __init__(
        self, argv: Sequence[str], folder: Path, *, stdin: int | None = None, stdout: int | None = None
    ) -> None:
        """`stdin` and `stdout` as subprocess takes them; by default there is nothing to read, and nobody reads."""
        self.folder = folder
        # Modules of the tests are found from wherever the program runs.
        path = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": path}
        with (folder / "stderr").open("ab") as stderr, open(os.devnull, "r+b", buffering=0) as nothing:
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                env=environment,
                stdin=nothing if stdin is None else stdin,
                stdout=nothing if stdout is None else stdout,
                stderr=stderr,
            )
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def peak_memory(self) -> int:
        """The most memory it has had at any time; 0 when it has ended."""
        return self._status("VmHWM:")

    @property
    def memory(self) -> int:
        return self._status("VmRSS:")

    def _status(self, field: str) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next((line for line in text.splitlines() if line.startswith(field)), "0 0")
        return int(line.split()[1]) << 10

    def processor_time_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _sleeps(self) -> bool:
        """Whether no thread would run now if it were let, and none waits for a disk."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] not in "RD" for thread in threads)

    def wait_readable(self, source: int, about: str) -> None:
        """Wait until there is something to read. Raises Late."""
        started, used_at_first = time.monotonic(), self.processor_time_s()
        used_before = used_at_first
        while not select.select([source], [], [], PATIENCE_S / 2)[0]:
            used, waited = self.processor_time_s(), time.monotonic() - started
            sits_there = used == used_before and waited >= PATIENCE_S and self._sleeps()
            if used - used_at_first > PATIENCE_S or sits_there or waited > LONGEST_S:
                raise Late(f"{about}: no answer after {waited:.1f} s, in which it used {used - used_at_first:.1f} s")
            used_before = used

    def expect_ended(self, status: int = 0) -> None:
        """It ends by itself, with that exit status and no complaint about a bug."""
        assert self.process.wait(LONGEST_S) == status, self.said()

    def said(self) -> str:
        """The end of what it wrote to stderr, and its reports of bugs."""
        reports = [path.read_text() for pattern in ("*bug*", "*.traceback") for path in self.folder.glob(pattern)]
        stderr = (self.folder / "stderr").read_text(errors="replace")
        return "\n".join([f"exit status {self.process.poll()}", stderr[-2000:], *reports])

    def expect_modest(self) -> int:
        """It has never had more memory than it may; the most that it had."""
        peak = self.peak_memory
        assert peak < MOST_MEMORY, f"{peak >> 20} MiB"
        return peak


def engine(folder: Path, *arguments: str) -> Watched:
    """The engine without a guest; its first monitor is for `connected`."""
    machine = ("-machine", "none", "-nodefaults", "-display", "none", "-S")
    return Watched([sys.executable, "-m", "backcheck_engine", *machine, *arguments], folder)


def connected(folder: Path, name: str, program: Watched) -> socket.socket:
    """A client of the monitor whose socket is `name` in a program's folder."""
    client = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + LONGEST_S
    while True:
        try:
            client.connect(str(folder / name))
        except (FileNotFoundError, ConnectionRefusedError):
            assert program.process.poll() is None, program.said()
            assert time.monotonic() < end, f"nobody listens on {name}"
            select.select([], [], [], 0.005)
        else:
            return client
