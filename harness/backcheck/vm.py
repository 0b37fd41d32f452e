"""One running system program: start it, talk to it, end it, keep what it left. The next one is another Machine.

The monitor's socket is handed over as a descriptor, so nobody waits for a file; what the program prints on stdout is
recorded before the reply that it came before. Its folder holds its images, stderr, and later the evidence.
"""

import os
import shlex
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from backcheck.errors import CaseTimeout, ImplementationError
from backcheck.implementation import NO_MACHINE, Implementation
from backcheck.json_types import JsonObject
from backcheck.programs.event_loop import loop_thread
from backcheck.programs.processes import Process
from backcheck.qmp import CLOSED, Exchange, Monitor
from backcheck.recording.events import render_raw
from backcheck.recording.recorder import Recorder
from backcheck.transcript import Direction

MONITOR_DESCRIPTOR = 3
FIRST_CONNECTION = 4
MONITOR_ARGUMENTS = ("-chardev", f"socket,id=mon,fd={MONITOR_DESCRIPTOR}", "-mon", "chardev=mon,mode=control")
MONITOR_NAME = "qmp"
TRACED = ("job_*", "block_copy_*", "bdrv_co_p*", "blk_co_p*")
TRACE_ARGUMENTS = ("-D", "trace-%d.log", *(argument for pattern in TRACED for argument in ("-trace", pattern)))
"""What the program does inside goes into its folder, and is evidence when the case fails."""
END_TIMEOUT_S = 20.0
CRASH_TIMEOUT_S = 5.0
"""How long a program that closed its monitor may take to end, a core dump included."""
STDERR_LINES = 20
PIPE_SIZE = 1 << 16


class Machine:
    """A system program and its monitor, started by `start()`."""

    def __init__(self, implementation: Implementation, folder: Path, recorder: Recorder) -> None:
        self.implementation = implementation
        self.folder = folder
        self.recorder = recorder
        self.process: Process | None = None
        self.monitor = Monitor(MONITOR_NAME, recorder, self.read_stdout)
        self._stdout = -1
        self._partial_line = b""

    @property
    def stderr_path(self) -> Path:
        return self.folder / "stderr"

    def start(self, arguments: Sequence[str], connections: Sequence[socket.socket] = ()) -> None:
        """Starts the program without a guest, with these arguments more, and negotiates with its monitor.

        connections: what it gets as descriptors from FIRST_CONNECTION on; they are closed here.

        Raises ImplementationError when it ends before it greets, as for an option that it refuses.
        """
        argv = [*NO_MACHINE, *TRACE_ARGUMENTS, *arguments, *MONITOR_ARGUMENTS]
        command = shlex.join([*self.implementation.system.argv, *argv])
        with (self.folder / "command").open("a") as file:
            file.write(command + "\n")
        self.recorder.note(command)
        ours, theirs = socket.socketpair()
        self._stdout, stdout = os.pipe()
        os.set_blocking(self._stdout, False)
        with theirs, open(os.devnull, "rb") as stdin, self.stderr_path.open("ab") as stderr:
            descriptors = {0: stdin.fileno(), 1: stdout, 2: stderr.fileno(), MONITOR_DESCRIPTOR: theirs.fileno()}
            descriptors |= {number: end.fileno() for number, end in enumerate(connections, FIRST_CONNECTION)}
            try:
                self.process = self.implementation.start(argv, cwd=self.folder, descriptors=descriptors)
            finally:
                os.close(stdout)
                for end in connections:
                    end.close()
        loop = loop_thread()
        loop.call(lambda: loop.loop.add_reader(self._stdout, self.read_stdout))
        try:
            self.monitor.connect(ours, self._monitor_ended)
        except ImplementationError as error:
            raise self.end_error("closed its monitor", "before it greeted") from error

    def execute(self, name: str, arguments: JsonObject, *, oob: bool = False) -> Exchange:
        """Sends a command and returns its reply. Raises CaseTimeout or ImplementationError."""
        return self.monitor.execute(name, arguments, oob=oob)

    def quit(self) -> None:
        """Says `quit` and expects exit status 0."""
        with suppress(ImplementationError):  # the end may overtake the reply; its status says how it was
            self.execute("quit", {})
        self.expect_end(0)

    def expect_end(self, status: int) -> None:
        """Waits for the program to end by itself. Raises CaseTimeout, or ImplementationError for another status."""
        assert self.process is not None
        if self.process.wait(END_TIMEOUT_S) is None:
            raise CaseTimeout(END_TIMEOUT_S, f"{self.process.name} to end", self.recorder.last())
        self.recorder.wait_for_end(END_TIMEOUT_S)
        if self.process.exit_status != status:
            raise self.end_error()

    def end_error(self, did: str = CLOSED, when: str = "") -> ImplementationError:
        """The error for a program whose monitor ended: how the program ended or, if it has not, what it did."""
        assert self.process is not None
        if self.process.wait(CRASH_TIMEOUT_S if did == CLOSED else 0.0) is None:
            text = f"{self.process.name} {did} and still runs"
        else:
            text = self.process.describe_end()
        return ImplementationError(f"{text} {when}".rstrip(), [*self.recorder.last(), *self.stderr()])

    def stderr(self) -> list[str]:
        """The last lines the program printed on stderr."""
        if not self.stderr_path.exists():
            return []
        return self.stderr_path.read_text(errors="replace").splitlines()[-STDERR_LINES:]

    def kill(self) -> None:
        """Ends the program at once, if it still runs, and lets go of everything of it."""
        if self.process is None:
            return
        self.process.kill()
        self.monitor.close()
        if self._stdout >= 0:
            loop = loop_thread()
            loop.call(lambda: loop.loop.remove_reader(self._stdout))
            self.read_stdout()
            os.close(self._stdout)
            self._stdout = -1

    def write_conversation(self) -> None:
        """Writes every raw message, with its time, into the folder."""
        first = self.recorder.raw[0].time_s if self.recorder.raw else 0.0
        lines = [f"{message.time_s - first:9.4f} {render_raw(message)}\n" for message in self.recorder.raw]
        (self.folder / "conversation.log").write_text("".join(lines))

    def _monitor_ended(self, did: str) -> None:
        """In the loop: the monitor's session has ended."""
        self.read_stdout()
        self.recorder.set_problem(lambda: self.end_error(did))

    def read_stdout(self) -> None:
        """In the loop: records the lines printed so far, each before any message that is read later."""
        while True:
            try:
                data = os.read(self._stdout, PIPE_SIZE)
            except (BlockingIOError, OSError):
                return
            if not data:
                loop_thread().loop.remove_reader(self._stdout)
                return
            *lines, self._partial_line = (self._partial_line + data).split(b"\n")
            for line in lines:
                self.recorder.record(Direction.STDOUT, "", line.decode(errors="replace"))
