"""One running program and its QMP monitor: as little between the clock and the socket as can be."""

import json
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ARGUMENTS = ("-machine", "none", "-nodefaults", "-display", "none", "-S")
ANSWER_TIMEOUT_S = 300


class SessionError(Exception):
    """The program answered with an error, or ended."""


class Session:
    """A program from its start to its end; a context manager.

    greeting_s: from the start to the last byte of the greeting.
    """

    def __init__(self, program: str, arguments: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWER_TIMEOUT_S)
        self._stream = ours.makefile("rwb")
        descriptor = theirs.fileno()
        monitor = ["-chardev", f"socket,id=monitor,fd={descriptor}", "-mon", "chardev=monitor,mode=control"]
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [program, *ARGUMENTS, *monitor, *arguments],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        ours.close()
        self._receive()
        self.greeting_s = time.perf_counter() - started
        self._events: list[dict[str, Any]] = []
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stream.close()
        self._process.kill()
        self._process.communicate()

    def execute(self, command: str, **arguments: object) -> Any:
        """The command's return value; events that come meanwhile are kept for ``wait``."""
        message = {"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
        self._stream.write(json.dumps(message).encode())
        self._stream.flush()
        while True:
            answer = self._receive()
            if "error" in answer:
                raise SessionError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def human(self, line: str) -> str:
        """What the human monitor answers."""
        answer: str = self.execute("human-monitor-command", command_line=line)
        return answer

    def wait(self, event: str) -> dict[str, Any]:
        """The data of the next event of that name; those before it are dropped."""
        while True:
            message = self._events.pop(0) if self._events else self._receive()
            if message.get("event") == event:
                data: dict[str, Any] = message["data"]
                return data

    def happened(self, event: str) -> bool:
        """Whether such an event has come along with the answers so far."""
        return any(message.get("event") == event for message in self._events)

    def peak_memory(self) -> int:
        """The largest resident size so far, in bytes."""
        return self._status("VmHWM")

    def memory(self) -> int:
        """The resident size, in bytes."""
        return self._status("VmRSS")

    def _status(self, key: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith(f"{key}:"))
        return int(kilobytes) * 1024

    def _receive(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            assert self._process.stderr is not None
            self._process.kill()
            complaint = self._process.stderr.read().decode(errors="replace").strip()
            raise SessionError(f"{self._process.args!r} ended: {complaint}")
        message: dict[str, Any] = json.loads(line)
        return message
