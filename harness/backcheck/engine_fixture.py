"""The fixture that other projects use: a running engine, and its QMP socket.

def test_my_backup_tool(backcheck_engine):
    engine = backcheck_engine(drives={"disk0": 64 * 1024 * 1024})
    my_tool.connect(engine.socket)
"""

import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from backcheck.programs.processes import Process

_LISTENER_DESCRIPTOR = 3
_SIZE_UNIT = 512
_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEngine:
    """socket: where its QMP monitor takes one client at a time. folder: its images, stdout and stderr."""

    socket: Path
    folder: Path
    process: "Process"


class StartEngine(Protocol):
    """What the fixture gives."""

    def __call__(
        self, drives: Mapping[str, int | str | Path] | None = None, arguments: Sequence[str] = ()
    ) -> RunningEngine:
        """Starts an engine that ends with the test.

        drives: id -> the size in bytes of an empty qcow2 disk, or the path of an image; the node is named ID-node.
        arguments: more of QEMU's command line. Raises ImplementationError when the engine does not start.
        """


@pytest.fixture
def backcheck_engine() -> Iterator[StartEngine]:
    """Starts engines that stand in for QEMU, each with a QMP socket: `backcheck_engine(drives={"disk0": SIZE})`."""
    from backcheck.errors import ImplementationError  # late: a session that never asks for an engine loads nothing

    started: list[RunningEngine] = []

    def start(drives: Mapping[str, int | str | Path] | None = None, arguments: Sequence[str] = ()) -> RunningEngine:
        folder = Path(tempfile.mkdtemp(prefix="bc-"))
        try:
            engine = _start(folder, drives or {}, arguments)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        started.append(engine)
        return engine

    yield start
    for engine in started:
        engine.process.signal(signal.SIGTERM)
    complaints = [
        _complaint(engine.process, engine.folder) for engine in started if engine.process.wait(_END_TIMEOUT_S)
    ]
    for engine in started:
        engine.process.kill()
        shutil.rmtree(engine.folder, ignore_errors=True)
    if complaints:
        raise ImplementationError("\n".join(complaints))


def _start(folder: Path, drives: Mapping[str, int | str | Path], arguments: Sequence[str]) -> RunningEngine:
    from backcheck.implementation import NO_MACHINE, find_implementation

    engine = find_implementation("engine")
    argv = list(NO_MACHINE)
    for name, image in drives.items():
        argv += ["-drive", _drive_option(folder, name, image)]
    path = folder / "qmp"
    with (
        socket.socket(socket.AF_UNIX) as listener,
        open(os.devnull, "rb") as stdin,
        (folder / "stdout").open("wb") as stdout,
        (folder / "stderr").open("wb") as stderr,
    ):
        listener.bind(str(path))
        listener.listen(1)
        argv += ["-chardev", f"socket,id=mon,fd={_LISTENER_DESCRIPTOR},server=on,wait=off"]
        argv += ["-mon", "chardev=mon,mode=control", *arguments]
        descriptors = {
            0: stdin.fileno(),
            1: stdout.fileno(),
            2: stderr.fileno(),
            _LISTENER_DESCRIPTOR: listener.fileno(),
        }
        process = engine.start(argv, cwd=folder, descriptors=descriptors)
    _await_greeting(path, process, folder)
    return RunningEngine(socket=path, folder=folder, process=process)


def _await_greeting(path: Path, process: "Process", folder: Path) -> None:
    """Waits until the engine takes clients, as the first of them. Raises ImplementationError when it ends instead."""
    from backcheck.errors import ImplementationError

    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(_START_TIMEOUT_S)
        client.connect(str(path))
        if client.recv(1):
            return
    process.wait(_END_TIMEOUT_S)
    complaint = _complaint(process, folder)
    process.kill()
    raise ImplementationError(complaint)


def _complaint(process: "Process", folder: Path) -> str:
    """How an engine ended, and what it said."""
    return f"{process.describe_end()}\n{(folder / 'stderr').read_text()}".rstrip()


def _drive_option(folder: Path, name: str, image: int | str | Path) -> str:
    """The value of -drive: a new disk of that size, or an image whose format its name or content tells."""
    from backcheck.errors import UsageError
    from backcheck.implementation import find_implementation

    options = f"if=none,id={name},node-name={name}-node,cache=writeback"
    if not isinstance(image, int):
        return f"{options},file={str(Path(image).absolute()).replace(',', ',,')}"
    if image < 0 or image % _SIZE_UNIT:
        raise UsageError(f"drive {name}: {image} is no size: it is a multiple of {_SIZE_UNIT} bytes")
    made = find_implementation("engine").img("create", "-q", "-f", "qcow2", f"{name}.qcow2", str(image), cwd=folder)
    if made.status != 0:
        raise UsageError(f"drive {name}: {made.stderr.strip()}")
    return f"{options},file={name}.qcow2,format=qcow2"
