"""Human monitors on a socket and on standard input: every byte that a real QEMU answers to every key."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitor.program import DEADLINE_S

ENGINE = [sys.executable, "-m", "backcheck_engine"]
MACHINE = ["-machine", "none", "-nodefaults", "-display", "none", "-S"]
KEYS = [
    b"info name\n",
    b"nope\r",
    b"\n",
    b"   \n",
    b"ab\x08c\x7f\n",
    b"\x1b[A",
    b"\x1b[A",
    b"\x01\x1b[C\x05\x0b\x15\x03",
    b"\n",
    b"hel\tna\n",
    b"stop\nstop\n",
    b"he\x1b[Dx\x1b[C\x04\n",
    b"a b c\x17\x17\x1b[1~\x1b[3~\x1bOF\x1b[4~",
    b"\x1b[B\x1b[A\x1b[A\x1b[B\x1b[B\x1b[B\n",
    b"\xe9\n",
    b"\x1b[99~\x1bx\x1b[Z\n",
    b"block_job_pa\t\t\n",
    b"info block-j\t\n",
    b"block_job_\tpause x\n",
    b"block_j\tx\n",
    b"drive_backup -z\n",
]
END = b"quit\n"


def program(kind: str) -> list[str]:
    if kind == "engine":
        return ENGINE
    found = shutil.which("qemu-system-x86_64")
    if found is None:
        pytest.skip("there is no qemu-system-x86_64 on PATH")
    return [found]


def after_banner(said: bytes) -> bytes:
    """What was said but for the release in the first line."""
    banner, _, rest = said.partition(b"\r\n")
    assert banner.startswith(b"QEMU ")
    assert banner.endswith(b" monitor - type 'help' for more information")
    return rest


def conversation(kind: str, folder: Path) -> bytes:
    """Everything that a monitor on a socket says to the keys."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / kind))
    listener.listen()
    monitor = ["-chardev", f"socket,id=human,path={folder / kind}", "-mon", "chardev=human,mode=readline"]
    with listener, subprocess.Popen([*program(kind), *MACHINE, *monitor], stdin=subprocess.DEVNULL) as process:
        listener.settimeout(DEADLINE_S)
        connection, _ = listener.accept()
        said = b""
        with connection:
            connection.settimeout(DEADLINE_S)
            connection.sendall(b"".join(KEYS) + END)
            while data := connection.recv(65536):
                said += data
        assert process.wait(DEADLINE_S) == 0
    return after_banner(said)


def test_every_key_is_answered_as_qemu_answers_it(tmp_path: Path) -> None:
    assert conversation("engine", tmp_path) == conversation("qemu", tmp_path)


@pytest.mark.parametrize("kind", ["engine", "qemu"])
def test_standard_input_is_a_terminal_too(kind: str) -> None:
    done = subprocess.run(
        [*program(kind), *MACHINE, "-monitor", "stdio"],
        input=b"info status\nquit\n",
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"(qemu) " in after_banner(done.stdout)
    assert b"\x1b[K\r\nVM status: paused (prelaunch)\r\n(qemu) " in done.stdout


def test_a_terminal_is_left_as_it_was() -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with subprocess.Popen([*ENGINE, *MACHINE, "-monitor", "stdio"], stdin=theirs, stdout=theirs) as process:
        said = b""
        while not said.endswith(b"(qemu) "):
            said += os.read(ours, 4096)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO, "the terminal would echo what the monitor echoes"
        os.write(ours, b"quit\r")
        assert process.wait(DEADLINE_S) == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
