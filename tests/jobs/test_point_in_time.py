"""Whatever guests and clients do during a backup, the target ends as the source was at the start.

Stories are random: guests write, zero and discard, requests of either disk are held and let go at random places, chunks
fail, clients pause and limit the job. Each cluster reaches the target once, unless its copy failed.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from backcheck_engine.errors import BlockError
from tests.jobs.machine import UNIT, Fault, Gate, KiB, Machine, MemoryDriver, MiB, run, turns

SIZE = 3 * MiB + 5 * UNIT
OFFSETS = st.integers(0, SIZE // UNIT - 1).map(lambda unit: unit * UNIT)
RANGES = st.tuples(OFFSETS, st.sampled_from([UNIT, 5 * UNIT, 64 * KiB, 300 * KiB, 2 * MiB]))
CONTENT = b"".join(bytes([1 + unit % 200]) * UNIT for unit in range(SIZE // UNIT))
STEPS = st.one_of(
    st.tuples(st.sampled_from(["write", "zero", "discard"]), RANGES),
    st.tuples(
        st.just("hold"),
        st.tuples(st.sampled_from(["source", "target"]), st.sampled_from(["read", "write", "zero"]), OFFSETS),
    ),
    st.tuples(st.just("fail"), st.tuples(st.sampled_from(["source", "target"]), OFFSETS)),
    st.tuples(st.just("release"), st.integers(0, 3)),
    st.tuples(st.just("turns"), st.integers(1, 40)),
    st.tuples(st.sampled_from(["pause", "resume", "drain"]), st.none()),
    st.tuples(st.just("speed"), st.sampled_from([0, 1, 1 << 30])),
)


@dataclass
class Story:
    """One backup and what happens during it."""

    machine: Machine
    gates: list[tuple[MemoryDriver, Gate]] = field(default_factory=list)
    waiting: list[asyncio.Task[None]] = field(default_factory=list)
    failures_planned: bool = False

    async def step(self, name: str, value: object) -> None:
        """Do one step; what would wait is left waiting."""
        await getattr(self, f"do_{name}")(value)
        await asyncio.sleep(0)

    async def guest(self, request: object) -> None:
        """A guest's request, which may fail where failures are planned."""
        try:
            await request  # type: ignore[misc]
        except BlockError:
            assert self.failures_planned

    async def do_write(self, area: tuple[int, int]) -> None:
        length = min(area[1], SIZE - area[0])
        self.spawn(self.machine.guest.pwrite(area[0], b"\xee" * length))

    async def do_zero(self, area: tuple[int, int]) -> None:
        self.spawn(self.machine.guest.pwrite_zeroes(area[0], min(area[1], SIZE - area[0])))

    async def do_discard(self, area: tuple[int, int]) -> None:
        self.spawn(self.machine.guest.discard(area[0], min(area[1], SIZE - area[0])))

    def spawn(self, request: object) -> None:
        self.waiting.append(asyncio.create_task(self.guest(request)))

    async def do_hold(self, what: tuple[str, str, int]) -> None:
        disk: MemoryDriver = getattr(self.machine, what[0])
        self.gates.append((disk, disk.hold(what[1], what[2])))

    async def do_fail(self, what: tuple[str, int]) -> None:
        disk: MemoryDriver = getattr(self.machine, what[0])
        disk.faults.append(Fault("read" if what[0] == "source" else "write", errno.EIO, what[1], times=1))
        self.failures_planned = True

    async def do_release(self, index: int) -> None:
        if index < len(self.gates):
            disk, gate = self.gates.pop(index)
            disk.open_gate(gate)

    async def do_turns(self, count: int) -> None:
        await turns(count)

    async def do_pause(self, _: None) -> None:
        job = self.machine.jobs.find("j0")
        if job is not None and not job.is_user_paused and not job.run_is_over.is_set():
            job.user_pause()

    async def do_resume(self, _: None) -> None:
        job = self.machine.jobs.find("j0")
        if job is not None and job.is_user_paused:
            job.user_resume()

    async def do_drain(self, _: None) -> None:
        async def drain() -> None:
            async with self.machine.graph.drained_all():
                await asyncio.sleep(0)

        self.waiting.append(asyncio.create_task(drain()))

    async def do_speed(self, speed: int) -> None:
        if self.machine.jobs.find("j0") is not None and not self.machine.block_job().run_is_over.is_set():
            self.machine.block_job().set_speed(speed)

    async def finish(self) -> None:
        """Let everything go, and see the job through."""
        for disk, gate in self.gates:
            disk.open_gate(gate)
        while self.machine.jobs.find("j0") is not None:
            await self.do_resume(None)
            await self.do_speed(0)
            await turns(5)
        await asyncio.gather(*self.waiting)


@settings(max_examples=60)
@given(
    holes=st.lists(RANGES, max_size=4),
    steps=st.lists(STEPS, max_size=25),
    workers=st.sampled_from([1, 2, 64]),
    cluster_size=st.sampled_from([0, 256 * KiB]),
    speed=st.sampled_from([0, 1]),
)
def test_the_target_is_the_source_at_the_start(
    holes: list[tuple[int, int]],
    steps: list[tuple[str, object]],
    workers: int,
    cluster_size: int,
    speed: int,
) -> None:
    async def story() -> None:
        machine = Machine(SIZE, cluster_size=cluster_size)
        machine.source.data[:] = CONTENT
        machine.source.written.update(range(-(-SIZE // UNIT)))
        for offset, length in holes:
            length = min(length, SIZE - offset)
            machine.source.data[offset : offset + length] = bytes(length)
            machine.source.written -= set(range(offset // UNIT, (offset + length) // UNIT))
        machine.target.data[:] = b"\x77" * SIZE
        snapshot = bytes(machine.source.data)
        await machine.backup(max_workers=workers, speed=speed, on_source_error="stop", on_target_error="stop")
        telling = Story(machine)
        for name, value in steps:
            await telling.step(name, value)
        await telling.finish()
        assert machine.target.data == snapshot
        assert machine.lane()[-2:] == ["concluded", "null"]
        if not telling.failures_planned:
            copied = machine.target.requests("write") + machine.target.requests("zero")
            assert sum(length for _, length in copied) == SIZE, "every cluster is copied once"

    run(story)
