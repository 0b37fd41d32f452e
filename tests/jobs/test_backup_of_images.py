"""Backups from and to real image files while guests write at random; read back by the engine and by qemu-img."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.drivers.creation import create_image
from backcheck_engine.jobs.backup_actions import DriveBackupAction
from backcheck_engine.jobs.backup_options import BackupOptions, SyncMode
from backcheck_engine.jobs.backup_target import DriveTarget
from backcheck_engine.jobs.job_list import JobList
from backcheck_engine.jobs.transaction import run_transaction
from tests.jobs.machine import KiB, MiB, run

SIZE = 24 * MiB + 5 * 512
WRITES = 150


class Guest:
    """A guest on a disk whose content is also kept in memory."""

    def __init__(self, graph: Graph, node: Node, seed: int) -> None:
        self.backend = BlockBackend(graph, "disk0", permissions=Permission.CONSISTENT_READ | Permission.WRITE)
        self.backend.insert(node)
        self.content = bytearray(SIZE)
        self.random = random.Random(seed)

    async def change(self, *, largest: int) -> None:
        """One random write or zero write."""
        length = self.random.choice([512, 4 * KiB, 64 * KiB, largest])
        offset = self.random.randrange(0, SIZE - length, 512)
        if self.random.random() < 0.3:
            await self.backend.pwrite_zeroes(offset, length)
            self.content[offset : offset + length] = bytes(length)
        else:
            data = bytes([self.random.randrange(1, 256)]) * length
            await self.backend.pwrite(offset, data)
            self.content[offset : offset + length] = data


async def content_of(filename: Path, format_name: str) -> bytes:
    """All of an image, through a graph of its own."""
    graph = Graph()
    node = await open_node(graph, {"driver": format_name, "read-only": True}, filename=str(filename))
    try:
        return b"".join([bytes(await node.pread(offset, min(MiB, SIZE - offset))) for offset in range(0, SIZE, MiB)])
    finally:
        await node.unref()


def judge(*arguments: str) -> None:
    """Ask the installed qemu-img, where there is one; it must agree."""
    if shutil.which("qemu-img") is not None:
        done = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("source_format", "target_format", "compress"),
    [("raw", "raw", False), ("raw", "qcow2", False), ("raw", "qcow2", True), ("qcow2", "qcow2", False)],
)
def test_the_copy_is_the_disk_at_the_start(
    tmp_path: Path, source_format: str, target_format: str, compress: bool
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    source, target, before = tmp_path / "source", tmp_path / "target", tmp_path / "before"

    async def story() -> None:
        graph, events = Graph(), []
        jobs = JobList(lambda event, data: events.append(event))
        await create_image(graph, str(source), source_format, size=SIZE, quiet=True)
        node = await open_node(graph, {"driver": source_format, "node-name": "src"}, filename=str(source))
        guest = Guest(graph, node, seed)
        for _ in range(40):
            await guest.change(largest=2 * MiB)
        snapshot = bytes(guest.content)
        before.write_bytes(snapshot)
        options = BackupOptions(sync=SyncMode.FULL, compress=compress, speed=1)
        drive_target = DriveTarget(filename=str(target), format_name=target_format)
        action = DriveBackupAction(graph, jobs, "disk0", drive_target, options, write_stdout=lambda text: None)
        await run_transaction(graph, jobs, [action])
        job = jobs.find("disk0")
        assert job is not None
        for index in range(WRITES):
            if index == WRITES // 3:
                job.set_speed(0)  # type: ignore[attr-defined]
            await guest.change(largest=300 * KiB)
        await job.is_concluded.wait()
        assert job.error is None
        assert await content_of(target, target_format) == snapshot
        live = b"".join([bytes(await guest.backend.pread(at, min(MiB, SIZE - at))) for at in range(0, SIZE, MiB)])
        assert live == guest.content
        await guest.backend.close()
        await node.unref()
        assert not graph.nodes

    run(story)
    judge("compare", "-f", "raw", "-F", target_format, str(before), str(target))
    if target_format == "qcow2":
        judge("check", "-f", "qcow2", str(target))
    if source_format == "qcow2":
        judge("check", "-f", "qcow2", str(source))


def test_two_guests_and_two_backups_of_one_disk(tmp_path: Path) -> None:
    """A second backup by the node's name stacks its filter on the first; both keep their own moment."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")

    async def story() -> None:
        graph = Graph()
        jobs = JobList(lambda event, data: None)
        await create_image(graph, str(tmp_path / "source"), "qcow2", size=SIZE, quiet=True)
        node = await open_node(graph, {"driver": "qcow2", "node-name": "src"}, filename=str(tmp_path / "source"))
        guest = Guest(graph, node, seed)
        snapshots = []
        for number in range(2):
            for _ in range(20):
                await guest.change(largest=2 * MiB)
            snapshots.append(bytes(guest.content))
            action = DriveBackupAction(
                graph,
                jobs,
                "src",
                DriveTarget(filename=str(tmp_path / f"target{number}"), format_name="qcow2"),
                BackupOptions(sync=SyncMode.FULL, job_id=f"j{number}", speed=1),
                write_stdout=lambda text: None,
            )
            await run_transaction(graph, jobs, [action])
        for _ in range(40):
            await guest.change(largest=300 * KiB)
        both = list(jobs)
        for job in both:
            job.set_speed(0)  # type: ignore[attr-defined]
        await asyncio.gather(*(job.is_concluded.wait() for job in both))
        for number, snapshot in enumerate(snapshots):
            assert await content_of(tmp_path / f"target{number}", "qcow2") == snapshot
        await guest.backend.close()
        await node.unref()
        assert not graph.nodes

    run(story)
