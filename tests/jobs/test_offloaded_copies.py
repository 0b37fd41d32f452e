"""Backups as 5.2 makes them: the host's kernel copies first, one cluster after the other, while a guest writes."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from backcheck_engine import release
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import FilePiece
from backcheck_engine.drivers.creation import create_image
from backcheck_engine.drivers.protocol import file_io
from backcheck_engine.jobs.backup_actions import DriveBackupAction
from backcheck_engine.jobs.backup_options import BackupOptions, SyncMode
from backcheck_engine.jobs.backup_target import DriveTarget
from backcheck_engine.jobs.job_list import JobList
from backcheck_engine.jobs.transaction import run_transaction
from tests.jobs.machine import KiB, MiB, run
from tests.jobs.test_backup_of_images import SIZE, Guest, content_of, judge

PROJECT = Path(__file__).parents[2]
CASES = ["018", "038", "043", "193", "206", "234"]
"""Those that 5.2 answers otherwise than the others because of how it copies."""
OPTIONS = {
    "4k": {"cluster_size": "4k"},
    "64k": {},
    "2M": {"cluster_size": "2M"},
    "extended": {"extended_l2": "on", "cluster_size": "16k"},
    "raw": {},
}


class Kernel:
    """Counts what the host's kernel is asked to copy; from some copy on it refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refuses_from: int | None = None) -> None:
        self.asked = 0
        self._refuses_from = refuses_from
        self._copy = file_io.copy_range
        monkeypatch.setattr(file_io, "copy_range", self._count)

    def _count(self, piece: FilePiece, fd: int, offset: int) -> None:
        self.asked += 1
        if self._refuses_from is not None and self.asked >= self._refuses_from:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        self._copy(piece, fd, offset)


def back_up(folder: Path, *, source_clusters: str, target: str) -> None:
    """Back up an overlay that a guest wrote and goes on writing; the copy has to be the disk at the start."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    base, disk, copy, before = (folder / name for name in ("base", "disk", "copy", "before"))
    kind = "raw" if target == "raw" else "qcow2"

    async def story() -> None:
        graph, jobs = Graph(), JobList(lambda event, data: None)
        await create_image(graph, str(base), "qcow2", size=SIZE, quiet=True)
        options = {"cluster_size": source_clusters, "backing_file": str(base), "backing_fmt": "qcow2"}
        await create_image(graph, str(disk), "qcow2", size=SIZE, options=options, quiet=True)
        await create_image(graph, str(copy), kind, size=SIZE, options=OPTIONS[target], quiet=True)
        content = bytearray(SIZE)
        below = await open_node(graph, {"driver": "qcow2"}, filename=str(base))
        for number, offset in enumerate(range(0, SIZE - MiB, 3 * MiB), 1):
            content[offset : offset + MiB] = bytes([number]) * MiB
            await below.pwrite(offset, content[offset : offset + MiB])
        await below.unref()
        node = await open_node(graph, {"driver": "qcow2", "node-name": "src"}, filename=str(disk))
        guest = Guest(graph, node, seed)
        guest.content[:] = content
        for _ in range(40):
            await guest.change(largest=2 * MiB)
        snapshot = bytes(guest.content)
        before.write_bytes(snapshot)
        drive = DriveTarget(filename=str(copy), format_name=kind, exists=True)
        action = DriveBackupAction(
            graph, jobs, "disk0", drive, BackupOptions(sync=SyncMode.FULL), write_stdout=lambda text: None
        )
        await run_transaction(graph, jobs, [action])
        job = jobs.find("disk0")
        assert job is not None
        while not job.is_concluded.is_set():
            await guest.change(largest=300 * KiB)
        assert job.error is None
        assert await content_of(copy, kind) == snapshot
        await guest.backend.close()
        await node.unref()

    run(story)
    judge("compare", "-f", "raw", "-F", kind, str(before), str(copy))
    if kind == "qcow2":
        judge("check", "-f", "qcow2", str(copy))


@pytest.mark.parametrize("target", OPTIONS)
@pytest.mark.parametrize("source_clusters", ["4k", "64k"])
def test_the_copy_is_the_disk_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source_clusters: str, target: str
) -> None:
    monkeypatch.setattr(release, "current", lambda: release.QEMU_5_2)
    kernel = Kernel(monkeypatch)
    back_up(tmp_path, source_clusters=source_clusters, target=target)
    assert kernel.asked > 1


@pytest.mark.parametrize("target", ["64k", "extended", "raw"])
def test_what_the_kernel_refuses_once_is_copied_by_hand_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(release, "current", lambda: release.QEMU_5_2)
    kernel = Kernel(monkeypatch, refuses_from=5)
    back_up(tmp_path, source_clusters="4k", target=target)
    # A guest's write may have asked at the same time.
    assert 5 <= kernel.asked <= 6


def test_later_releases_do_not_ask_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "current", lambda: release.QEMU_7_2)
    kernel = Kernel(monkeypatch)
    back_up(tmp_path, source_clusters="64k", target="64k")
    assert kernel.asked == 0


def test_the_kernel_copies_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"\x11" * 3000)
    (tmp_path / "to").write_bytes(b"\x22" * 3000)
    with open(tmp_path / "from", "rb") as source, open(tmp_path / "to", "r+b") as target:
        file_io.copy_range(FilePiece(source.fileno(), 1000, 500), target.fileno(), 2800)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            file_io.copy_range(FilePiece(source.fileno(), 2900, 500), target.fileno(), 0)
    assert (tmp_path / "to").read_bytes() == b"\x11" * 100 + b"\x22" * 2700 + b"\x11" * 500


def test_the_cases_hold_on_the_engine_as_5_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backcheck.cli", "run", "--on", "engine-5.2", "--results", str(tmp_path), *CASES],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Passed all {len(CASES)} in" in done.stdout
