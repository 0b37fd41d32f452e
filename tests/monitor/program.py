"""A program with QEMU's command line, real or the engine, as these tests talk to it."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backcheck import releases

NAME = "qemu-system-x86_64"
RELEASES = ("5.2", "7.2", "10.0", "11.1")
MACHINE = ("-machine", "none", "-nodefaults", "-display", "none", "-S")
DEADLINE_S = 100.0
"""Less than the time limit of a test, so that what is missing is told."""
ENGINE = (sys.executable, "-m", "backcheck_engine")

Message = dict[str, Any]


def real_program(release: str) -> str:
    """A real QEMU of that release, unpacked or installed; skips the test when there is none."""
    folder = releases.find_release(release)
    if folder is not None:
        return str(folder / "bin" / NAME)
    installed = shutil.which(NAME)
    if installed is None or f"version {release}." not in subprocess.check_output([installed, "--version"], text=True):
        pytest.skip(releases.why_missing(release))
    return installed


def engine_environment(release: str | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("BACKCHECK_RELEASE", None)
    return environment | ({"BACKCHECK_RELEASE": release} if release else {})


@contextmanager
def running(
    *arguments: str,
    program: tuple[str, ...] = ENGINE,
    release: str | None = None,
    machine: tuple[str, ...] = MACHINE,
    folder: Path | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, until the end of the block."""
    process = subprocess.Popen(
        [*program, *machine, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=engine_environment(release),
        cwd=folder,
        pass_fds=pass_fds,
        bufsize=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Peer:
    """The client's end of a monitor: bytes out, messages in, each within a deadline."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._buffer = b""
        self.events: list[Message] = []

    @classmethod
    def of_process(cls, process: subprocess.Popen[bytes]) -> Peer:
        """The one on `-qmp stdio`."""
        assert process.stdin
        assert process.stdout
        return cls(process.stdout.fileno(), process.stdin.fileno())

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._sink, data) :]

    def line(self) -> bytes:
        """The next line, with its end; b"" at the end of the stream."""
        end = time.monotonic() + DEADLINE_S
        while b"\n" not in self._buffer:
            rest = end - time.monotonic()
            assert rest > 0, f"no line within {DEADLINE_S:.0f} s, after {self._buffer[:200]!r}"
            if select.select([self._source], [], [], rest)[0]:
                data = os.read(self._source, 1 << 16)
                if not data:
                    return b""
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def message(self) -> Message:
        """The next message, which must come."""
        line = self.line()
        assert line, "the program has closed the connection"
        message: Message = json.loads(line)
        return message

    def reply(self) -> Message:
        """The next message that is no event; events before it are kept."""
        while "event" in (message := self.message()):
            self.events.append(message)
        return message

    def negotiate(self, *capabilities: str) -> Message:
        """Read the greeting and enter command mode."""
        greeting = self.message()
        assert "QMP" in greeting
        self.send(json.dumps({"execute": "qmp_capabilities", "arguments": {"enable": capabilities}}).encode())
        reply = self.reply()
        assert reply == {"return": {}}, reply
        return greeting

    def execute(self, command: str, **arguments: object) -> Message:
        """Send a command and give its reply; `_` in a name is `-`."""
        members = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.send(json.dumps({"execute": command, "arguments": members}).encode())
        return self.reply()


def connect(path: Path) -> socket.socket:
    """A client of a monitor's socket, which may not be there yet."""
    client = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < end, f"nobody listens on {path}"
            select.select([], [], [], 0.005)
        else:
            return client


def peer(client: socket.socket) -> Peer:
    return Peer(client.fileno(), client.fileno())
