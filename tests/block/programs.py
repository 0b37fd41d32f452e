"""The independent witnesses of these tests: the installed qemu-img and qemu-io."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_qemu = pytest.mark.skipif(
    not (shutil.which("qemu-img") and shutil.which("qemu-io")), reason="qemu-img and qemu-io are not installed"
)


def qemu_io(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The result of a qemu-io run."""
    return subprocess.run(["qemu-io", *arguments], capture_output=True, text=True, check=False, timeout=30)


def qemu_img(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The result of a qemu-img run, in `folder` or here."""
    return subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False, timeout=30, cwd=folder)


@contextmanager
def qemu_io_holding(*arguments: str) -> Iterator[None]:
    """A qemu-io that has opened its image and waits for commands."""
    process = subprocess.Popen(
        ["qemu-io", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("length\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert re.search(r"\d", answer), answer
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def locked_bytes(path: Path) -> set[int]:
    """The bytes of a file on which anybody holds an open file description lock."""
    inode = str(path.stat().st_ino)
    held: set[int] = set()
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "OFDLCK" in fields and fields[-3].rpartition(":")[2] == inode:
            held |= set(range(int(fields[-2]), int(fields[-1]) + 1))
    return held
