"""Incremental backups of clusters that lie apart, which go to the target together, while a guest writes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import FilePiece, Range
from backcheck_engine.drivers.creation import create_image
from backcheck_engine.drivers.protocol.file import FileDriver
from backcheck_engine.jobs.backup_actions import DriveBackupAction
from backcheck_engine.jobs.backup_options import BackupOptions, SyncMode
from backcheck_engine.jobs.backup_target import DriveTarget
from backcheck_engine.jobs.job_list import JobList
from backcheck_engine.jobs.transaction import run_transaction
from tests.jobs.machine import KiB, MiB, run
from tests.jobs.test_backup_of_images import SIZE, Guest, content_of, judge

CLUSTER = 64 * KiB


@pytest.mark.parametrize("target_clusters", ["4k", "64k", "2M", "extended"])
def test_what_is_marked_is_copied_and_nothing_else(tmp_path: Path, target_clusters: str) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    source, target, wanted = tmp_path / "source", tmp_path / "target", tmp_path / "wanted"
    options = {"extended_l2": "on"} if target_clusters == "extended" else {"cluster_size": target_clusters}
    unit = max(CLUSTER, 2 * MiB if target_clusters == "2M" else 0)

    async def story() -> bytes:
        graph, jobs = Graph(), JobList(lambda event, data: None)
        await create_image(graph, str(source), "qcow2", size=SIZE, quiet=True)
        await create_image(graph, str(target), "qcow2", size=SIZE, options=options, quiet=True)
        held = await open_node(graph, {"driver": "qcow2"}, filename=str(target))
        old = bytearray(SIZE)
        for _ in range(12):
            offset, byte = chance.randrange(0, SIZE - MiB, 512), chance.randrange(256)
            await held.pwrite(offset, bytes([byte]) * 70 * KiB)
            old[offset : offset + 70 * KiB] = bytes([byte]) * 70 * KiB
        await held.unref()
        node = await open_node(graph, {"driver": "qcow2", "node-name": "src"}, filename=str(source))
        guest = Guest(graph, node, seed)
        for _ in range(40):
            await guest.change(largest=2 * MiB)
        bitmap = node.bitmaps.create(4 * KiB, name="b0")
        for cluster in chance.sample(range(SIZE // CLUSTER), 120):
            bitmap.set(cluster * CLUSTER + chance.randrange(0, CLUSTER, 512), 512)
        for offset, length in bitmap.runs():
            start, end = offset // unit * unit, min(-(-(offset + length) // unit) * unit, SIZE)
            old[start:end] = guest.content[start:end]
        action = DriveBackupAction(
            graph,
            jobs,
            "disk0",
            DriveTarget(filename=str(target), format_name="qcow2", exists=True),
            BackupOptions(sync=SyncMode.INCREMENTAL, bitmap="b0"),
            write_stdout=lambda text: None,
        )
        await run_transaction(graph, jobs, [action])
        job = jobs.find("disk0")
        assert job is not None
        while not job.is_concluded.is_set():
            await guest.change(largest=300 * KiB)
        assert job.error is None
        assert await content_of(target, "qcow2") == old
        await guest.backend.close()
        await node.unref()
        return bytes(old)

    async def tell() -> None:
        wanted.write_bytes(await story())

    run(tell)
    judge("compare", "-f", "raw", "-F", "qcow2", str(wanted), str(target))
    judge("check", "-f", "qcow2", str(target))


def test_what_cannot_be_written_together_is_written_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    taken: list[int] = []
    write = FileDriver.pwrite_scattered

    async def take_some(driver: FileDriver, ranges: Sequence[Range], pieces: Sequence[FilePiece]) -> int:
        taken.append(len(taken) % 2 and await write(driver, ranges[:3], pieces[:3]))
        return taken[-1]

    async def story() -> None:
        graph, jobs = Graph(), JobList(lambda event, data: None)
        for image in (source, target):
            await create_image(graph, str(image), "qcow2", size=SIZE, quiet=True)
        node = await open_node(graph, {"driver": "qcow2", "node-name": "src"}, filename=str(source))
        guest = Guest(graph, node, 1)
        node.bitmaps.create(CLUSTER, name="b0")
        for cluster in range(0, SIZE // CLUSTER, 3):
            await guest.backend.pwrite(cluster * CLUSTER, b"\x5a" * CLUSTER)
        monkeypatch.setattr(FileDriver, "pwrite_scattered", take_some)
        action = DriveBackupAction(
            graph,
            jobs,
            "disk0",
            DriveTarget(filename=str(target), format_name="qcow2", exists=True),
            BackupOptions(sync=SyncMode.INCREMENTAL, bitmap="b0"),
            write_stdout=lambda text: None,
        )
        await run_transaction(graph, jobs, [action])
        job = jobs.find("disk0")
        assert job is not None
        await job.is_concluded.wait()
        assert job.error is None
        assert {0, 3} <= set(taken), "several clusters were to be written at once"
        await guest.backend.close()
        await node.unref()

    run(story)
    judge("compare", "-f", "qcow2", "-F", "qcow2", str(source), str(target))
    judge("check", "-f", "qcow2", str(target))
