"""A machine in the test's own process: a guest's disk and a target in memory, jobs, and the events they send.

The disks are scripted: requests can be held, refused, and are noted, so that a test decides what is in flight when.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from backcheck_engine.block.backend import BlockBackend, OnError
from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.backup_actions import BlockdevBackupAction
from backcheck_engine.jobs.backup_options import BackupOptions, SyncMode
from backcheck_engine.jobs.block_job import BlockJob
from backcheck_engine.jobs.job import Job
from backcheck_engine.jobs.job_list import JobList
from backcheck_engine.jobs.transaction import run_transaction
from backcheck_engine.json_value import JsonObject

KiB = 1024
MiB = 1024 * KiB
UNIT = 4 * KiB
START = ["created", "running", "paused", "running"]
SUCCESS = ["waiting", "pending", "BLOCK_JOB_COMPLETED", "concluded", "null"]


@dataclass
class Fault:
    """Requests of one kind that fail; `offset` picks those that touch it."""

    kind: str
    errno: int = errno.EIO
    offset: int | None = None
    times: int = -1


@dataclass
class Gate:
    """Requests of one kind that wait; `offset` picks those that touch it."""

    kind: str
    offset: int | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryDriver(Driver):
    """A disk in memory that knows which units were never written."""

    format_name = "memory"
    kind = DriverKind.PROTOCOL
    supports_discard = True
    zero_flags = RequestFlag.MAY_UNMAP

    def __init__(self, node: Node, size: int, cluster_size: int) -> None:
        super().__init__(node)
        self.data = bytearray(size)
        self.written: set[int] = set()
        self.cluster_size = cluster_size
        self.log: list[tuple[str, int, int]] = []
        self.faults: list[Fault] = []
        self.gates: list[Gate] = []
        self.is_closed = False

    async def _enter(self, kind: str, offset: int, length: int) -> None:
        self.log.append((kind, offset, length))
        for gate in list(self.gates):
            if gate.kind == kind and (gate.offset is None or offset <= gate.offset < offset + length):
                gate.entered.set()
                await gate.opened.wait()
        for fault in self.faults:
            touched = fault.offset is None or offset <= fault.offset < offset + length
            if fault.kind == kind and touched and fault.times:
                fault.times -= 1
                raise BlockError.from_errno(fault.errno)
        await asyncio.sleep(0)

    async def pread(self, offset: int, length: int) -> Buffer:
        await self._enter("read", offset, length)
        return bytes(self.data[offset : offset + length])

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._enter("write", offset, len(data))
        self.data[offset : offset + len(data)] = data
        self.written.update(range(offset // UNIT, -(-(offset + len(data)) // UNIT)))

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._enter("zero", offset, length)
        self.data[offset : offset + length] = bytes(length)

    async def discard(self, offset: int, length: int) -> None:
        await self._enter("discard", offset, length)
        self.data[offset : offset + length] = bytes(length)

    async def flush(self) -> None:
        await self._enter("flush", 0, 0)

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        first = offset // UNIT
        is_data = first in self.written
        end = first
        while end * UNIT < offset + length and (end in self.written) == is_data:
            end += 1
        return BlockStatus(length=min(end * UNIT, offset + length) - offset, data=is_data, zero=not is_data)

    def size(self) -> int:
        return len(self.data)

    def info(self) -> DriverInfo:
        return DriverInfo(cluster_size=self.cluster_size)

    async def close(self) -> None:
        self.is_closed = True

    @classmethod
    async def open(cls, opener: object) -> MemoryDriver:
        raise AssertionError("made by memory_node")

    def requests(self, kind: str) -> list[tuple[int, int]]:
        """(offset, length) of the requests of one kind, in their order."""
        return [(offset, length) for logged, offset, length in self.log if logged == kind]

    def hold(self, kind: str, offset: int | None = None) -> Gate:
        """Let requests of one kind wait from now on, until `open_gate`."""
        gate = Gate(kind, offset)
        self.gates.append(gate)
        return gate

    def open_gate(self, gate: Gate) -> None:
        """Let what waits go, and hold nothing more."""
        self.gates.remove(gate)
        gate.opened.set()


def memory_node(graph: Graph, name: str, size: int, cluster_size: int = 0) -> tuple[Node, MemoryDriver]:
    """A node on a new disk of zeroes."""
    node = Node(graph)
    driver = MemoryDriver(node, size, cluster_size)
    graph.register(node, name)
    node.refresh_size()
    node.refresh_limits()
    node.discard_mode = "unmap"
    return node, driver


class Machine:
    """A guest with the disk `disk0` on the node `source`, and a node `target` of the same size."""

    def __init__(self, size: int = 4 * MiB, *, target_size: int | None = None, cluster_size: int = 0) -> None:
        self.graph = Graph()
        self.events: list[tuple[str, JsonObject]] = []
        self.jobs = JobList(self._note)
        self._changed = asyncio.Event()
        self.source_node, self.source = memory_node(self.graph, "source", size)
        self.target_node, self.target = memory_node(self.graph, "target", target_size or size, cluster_size)
        self.guest = BlockBackend(
            self.graph, "disk0", permissions=Permission.CONSISTENT_READ | Permission.WRITE, shared=Permission.ALL
        )
        self.guest.insert(self.source_node)

    def fill(self, byte: int = 0x11, offset: int = 0, length: int | None = None) -> None:
        """Put data on the source, as if it had been there before."""
        length = len(self.source.data) - offset if length is None else length
        self.source.data[offset : offset + length] = bytes([byte]) * length
        self.source.written.update(range(offset // UNIT, -(-(offset + length) // UNIT)))

    def _note(self, event: str, data: JsonObject | None) -> None:
        self.events.append((event, data or {}))
        self._changed.set()

    async def backup(self, job_id: str = "j0", *, device: str = "disk0", target: str = "target", **options: Any) -> Job:
        """Start a backup, and give its job."""
        options.setdefault("sync", SyncMode.FULL)
        for name in ("on_source_error", "on_target_error"):
            if name in options:
                options[name] = OnError(options[name])
        action = BlockdevBackupAction(self.graph, self.jobs, device, target, BackupOptions(job_id=job_id, **options))
        await run_transaction(self.graph, self.jobs, [action])
        job = self.jobs.find(job_id)
        assert job is not None
        return job

    def block_job(self, job_id: str = "j0") -> BlockJob:
        """A job that is there."""
        job = self.jobs.find(job_id)
        assert isinstance(job, BlockJob)
        return job

    def lane(self, job_id: str = "j0") -> list[str]:
        """A job's states and events, in their order."""
        names = []
        for event, data in self.events:
            if job_id in (data.get("id"), data.get("device")):
                names.append(str(data["status"]) if event == "JOB_STATUS_CHANGE" else event)
        return names

    def data_of(self, event: str) -> JsonObject:
        """The data of the only event of that name."""
        (data,) = [data for name, data in self.events if name == event]
        return data

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until an event makes `condition` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_state(self, status: str, job_id: str = "j0") -> None:
        """Wait until a job's last event is that state."""
        await self.until(lambda: self.lane(job_id)[-1:] == [status])


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine; one that hangs meets the time limit of every test."""
    asyncio.run(story())


async def turns(count: int = 50) -> None:
    """Let everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def refused(attempt: Awaitable[object]) -> str:
    """The words in which something is refused."""
    try:
        await attempt
    except BlockError as error:
        return str(error)
    raise AssertionError("was not refused")
