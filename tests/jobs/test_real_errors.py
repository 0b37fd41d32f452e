"""Errors that no rule injects: limits of file sizes, files that vanish or shrink while a backup runs.

The machine is a real program with real files, and the installed qemu-img looks at what it leaves.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.test_beside_qemu import Conversation

MiB = 1024 * 1024
SIZE = 8 * MiB
PATTERN = bytes(range(256)) * (SIZE // 256)
SLOW = 64 * 1024

pytestmark = [
    pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img is installed"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a source of 8 MiB, all of it data."""
    (tmp_path / "source.img").write_bytes(PATTERN)
    return tmp_path


@pytest.fixture
def machine(folder: Path) -> Iterator[Conversation]:
    options = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
    options += ["-drive", "if=none,id=disk0,file=source.img,format=raw"]
    with subprocess.Popen(
        [sys.executable, "-m", "backcheck_engine", *options],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        conversation = Conversation(process)
        next(conversation.messages())
        conversation.execute("qmp_capabilities", {})
        yield conversation
        process.kill()


def img(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["qemu-img", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def start(machine: Conversation, image_format: str, **arguments: object) -> None:
    """Back disk0 up to target.img, as job j0, and wait until it runs."""
    names = {name.replace("_", "-"): value for name, value in arguments.items()}
    members = {"job-id": "j0", "device": "disk0", "target": "target.img", "sync": "full", "format": image_format}
    assert machine.execute("drive-backup", members | names) == {}
    # The pause that belongs to every start is not one to wait for.
    machine.finished = [entry for entry in machine.finished if entry[0] != "paused"]


def job(machine: Conversation) -> dict[str, object]:
    """The job as `query-block-jobs` shows it."""
    (element,) = machine.execute("query-block-jobs", {})
    assert isinstance(element, dict)
    return element


def limit_file_size(machine: Conversation, size: int) -> None:
    resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def expect_copied(folder: Path, image_format: str) -> None:
    """The target is sound and holds what the source held."""
    if image_format == "qcow2":
        assert img(folder, "check", "target.img").returncode == 0
    assert img(folder, "convert", "-f", image_format, "-O", "raw", "target.img", "copy.img").returncode == 0
    assert (folder / "copy.img").read_bytes() == PATTERN


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_file_size_limit_stops_the_job_until_it_is_lifted(
    folder: Path, machine: Conversation, image_format: str
) -> None:
    img(folder, "create", "-q", "-f", image_format, "target.img", str(SIZE))
    limit_file_size(machine, 3 * MiB)
    start(machine, image_format, mode="existing", on_target_error="stop")
    machine.until("paused", "j0")
    assert (job(machine)["status"], job(machine)["io-status"]) == ("paused", "failed")
    limit_file_size(machine, resource.RLIM_INFINITY)
    machine.execute("job-resume", {"id": "j0"})
    machine.until("null", "j0")
    assert "error" not in machine.lanes["j0"][-3][1]
    expect_copied(folder, image_format)


def test_a_file_that_is_too_large_is_reported(folder: Path, machine: Conversation) -> None:
    img(folder, "create", "-q", "-f", "raw", "target.img", str(SIZE))
    limit_file_size(machine, 3 * MiB)
    start(machine, "raw", mode="existing")
    machine.until("null", "j0")
    assert machine.lanes["j0"][-3][1]["error"] == os.strerror(errno.EFBIG)


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_target_that_was_removed_is_copied_to_all_the_same(
    folder: Path, machine: Conversation, image_format: str
) -> None:
    start(machine, image_format, speed=SLOW, auto_dismiss=False)
    with (folder / "target.img").open("rb") as target:
        (folder / "target.img").unlink()
        machine.execute("block-job-set-speed", {"device": "j0", "speed": 0})
        machine.until("concluded", "j0")
        assert "error" not in job(machine)
        (folder / "target.img").write_bytes(target.read())
    expect_copied(folder, image_format)


def test_a_source_that_is_cut_short_reads_as_zeroes_from_there_on(folder: Path, machine: Conversation) -> None:
    start(machine, "raw", speed=SLOW)
    os.truncate(folder / "source.img", 4 * MiB)
    machine.execute("block-job-set-speed", {"device": "j0", "speed": 0})
    machine.until("null", "j0")
    assert (folder / "target.img").read_bytes() == PATTERN[: 4 * MiB] + bytes(4 * MiB)


def test_what_an_image_held_when_the_disk_was_full_can_be_found(folder: Path, machine: Conversation) -> None:
    """Its tables have their place before the data comes: closing it needs no more room."""
    img(folder, "create", "-q", "-f", "qcow2", "target.img", str(SIZE))
    limit_file_size(machine, 3 * MiB)
    start(machine, "qcow2", mode="existing", x_perf={"max-workers": 1})
    machine.until("null", "j0")
    copied = machine.lanes["j0"][-3][1]["offset"]
    machine.execute("quit", {})
    machine.process.wait()
    assert img(folder, "check", "target.img").returncode == 0
    assert img(folder, "convert", "-f", "qcow2", "-O", "raw", "target.img", "copy.img").returncode == 0
    assert copied >= MiB
    assert (folder / "copy.img").read_bytes()[:copied] == PATTERN[:copied]


def test_creating_an_image_where_nothing_can_be_written(folder: Path, machine: Conversation) -> None:
    limit_file_size(machine, 100)
    members = {"job-id": "j0", "device": "disk0", "target": "target.img", "sync": "full", "format": "qcow2"}
    reply = machine.execute("drive-backup", members)
    text = "The image size is too large for file format 'qcow2' (try using a larger cluster size)"
    assert reply == {"class": "GenericError", "desc": text}
    assert machine.execute("query-block-jobs", {}) == []
