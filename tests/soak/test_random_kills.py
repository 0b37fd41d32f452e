"""The engine's program killed at random moments of a backup: no image is corrupt, and nothing that was flushed is lost.

A round starts the program on a disk with a random history, starts a random backup, lets a guest write, and kills the
program: after a random number of requests, or after a random time (every moment is a valid one). The witness is the
installed qemu-img. `BACKCHECK_SEED=N` repeats the first round of a run that printed `seed N`, but for the moment.
"""

import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from backcheck.errors import ImplementationError
from backcheck.implementation import find_implementation
from backcheck.recording.recorder import Recorder
from backcheck.transcript import Direction
from backcheck.vm import Machine

KiB, MiB = 1 << 10, 1 << 20
SECTOR = 512
SIZES = (8 * MiB, 4 * MiB + 3 * SECTOR)
LONGEST_KILL_DELAY_S = 0.4
ROUND_DEADLINE_S = 60.0
SOUND = (0, 3)
"""Exit statuses of `qemu-img check`: nothing, or leaked clusters only."""
NO_CHECK = 63
"""Its exit status for a format that cannot be checked."""

FORMATS: Mapping[str, tuple[str, str]] = {
    "raw": ("raw", ""),
    "qcow2": ("qcow2", "cluster_size=64k"),
    "qcow2-512": ("qcow2", "cluster_size=512"),
    "qcow2-4k-refcount-64": ("qcow2", "cluster_size=4k,refcount_bits=64"),
    "qcow2-2M": ("qcow2", "cluster_size=2M"),
    "qcow2-extended": ("qcow2", "extended_l2=on,cluster_size=16k"),
    "qcow2-v2": ("qcow2", "compat=0.10"),
}

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def qemu_img(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The real tool, run to its end."""
    argv = ["qemu-img", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def must(*arguments: str | Path) -> None:
    done = qemu_img(*arguments)
    assert done.returncode == 0, f"qemu-img {arguments}: {done.stdout}{done.stderr}"


def expect_sound(path: Path, format_name: str) -> None:
    """No errors, no corruption, nobody's lock; raw images have nothing to check but their lock."""
    done = qemu_img("check", "-f", format_name, path)
    allowed = (*SOUND, NO_CHECK) if format_name == "raw" else SOUND
    assert done.returncode in allowed, f"{path.name}: {done.stdout}{done.stderr}"
    assert "lock" not in done.stderr, done.stderr


class Model:
    """What each sector of the disk may hold: what it held at the last flush, or anything written since."""

    def __init__(self, size: int) -> None:
        self.latest = bytearray(size // SECTOR)
        self.unflushed: dict[int, set[int]] = {}

    def write(self, pattern: int, offset: int, length: int) -> None:
        """A write is sent; it may have happened from now on."""
        for sector in range(offset // SECTOR, (offset + length) // SECTOR):
            self.unflushed.setdefault(sector, {self.latest[sector]}).add(pattern)
            self.latest[sector] = pattern

    def flushed(self) -> None:
        """A flush has succeeded, with no write in flight."""
        self.unflushed.clear()

    def content(self) -> bytes:
        """What the disk holds when all writes have happened."""
        return b"".join(bytes([pattern]) * SECTOR for pattern in self.latest)

    def expect(self, content: bytes) -> None:
        """Each sector is something that it may be."""
        assert len(content) == len(self.latest) * SECTOR
        for sector, latest in enumerate(self.latest):
            data = content[sector * SECTOR : (sector + 1) * SECTOR]
            allowed = self.unflushed.get(sector, {latest})
            assert data.count(data[0]) == SECTOR, f"the sector at {sector * SECTOR} is torn"
            assert data[0] in allowed, f"the sector at {sector * SECTOR} holds {data[0]:#x}, not one of {allowed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup command; `target` is the image that it makes or fills."""

    command: str
    arguments: Mapping[str, object]
    target: Path
    target_format: str
    nodes: tuple[str, ...] = ()
    """What the command line needs for it."""


class Round:
    """One disk, one backup, one kill."""

    def __init__(self, folder: Path, source: str, generator: random.Random) -> None:
        self.random = generator
        self.folder = folder
        self.format, options = FORMATS[source]
        self.size = self.random.choice(SIZES)
        self.source = folder / "source"
        must("create", "-q", "-f", self.format, *(("-o", options) if options else ()), self.source, str(self.size))
        self.model = Model(self.size)
        self.machine = self._machine(0)

    def _machine(self, number: int) -> Machine:
        """A program that is not started yet."""
        folder = self.folder / f"machine{number}"
        folder.mkdir()
        return Machine(find_implementation("engine"), folder, Recorder(deadline_s=ROUND_DEADLINE_S))

    def _start(self, backup: Backup) -> None:
        drive = f"if=none,id=disk0,file={self.source},format={self.format},discard=unmap"
        self.machine.start(["-drive", drive, *backup.nodes])

    # The guest.

    def guest(self, command: str) -> None:
        """A guest's request; returns when it is done, or sent if it is asynchronous. It must not fail."""
        done = self.machine.execute("human-monitor-command", {"command-line": f'qemu-io disk0 "{command}"'})
        assert done.error_class is None, done.description
        printed = [str(raw.message) for raw in self.machine.recorder.raw if raw.direction is Direction.STDOUT]
        assert not [line for line in printed if "failed" in line or "rror" in line], printed

    def _place(self, low: int, high: int) -> tuple[int, int]:
        offset = self.random.randrange(low // SECTOR, high // SECTOR) * SECTOR
        longest = self.random.choice([SECTOR, 4 * KiB, 64 * KiB, MiB])
        return offset, min(longest, high - offset)

    def write(self) -> None:
        """A write, or a write of zeroes."""
        offset, length = self._place(0, self.size)
        pattern = self.random.choice([0, *range(1, 256)]) if self.random.random() < 0.8 else 0
        self.model.write(pattern, offset, length)
        zero_options = self.random.choice(["-z", "-z -u"])
        how = f"-P {pattern:#x}" if pattern else zero_options
        self.guest(f"write {how} {offset} {length}")

    def writes_at_once(self) -> None:
        """Writes that are in flight together, each in a third of the disk of its own."""
        third = self.size // 3 // SECTOR * SECTOR
        for start in range(0, 3 * third, third):
            offset, length = self._place(start, start + third)
            pattern = self.random.randrange(1, 256)
            self.model.write(pattern, offset, length)
            self.guest(f"aio_write -P {pattern:#x} {offset} {length}")
        self.guest("aio_flush")

    def flush(self) -> None:
        self.guest("flush")
        self.model.flushed()

    def use(self, count: int) -> None:
        """Random requests."""
        for _ in range(count):
            self.random.choice([self.write, self.write, self.writes_at_once, self.flush])()

    # The story.

    def backup(self, number: int) -> Backup:
        """A random backup; the target of blockdev-backup is made here, with any layout."""
        target = self.folder / f"target{number}"
        kind = self.random.choice(list(FORMATS))
        target_format, options = FORMATS[kind]
        speed = self.random.choice([0, 8 * MiB, 16 * MiB])
        common = {"job-id": "job0", "device": "disk0", "sync": "full", "speed": speed}
        if target_format == "qcow2":
            common["compress"] = self.random.random() < 0.3
        if self.random.random() < 0.5:
            arguments = {**common, "target": str(target), "format": target_format}
            return Backup(command="drive-backup", arguments=arguments, target=target, target_format=target_format)
        must("create", "-q", "-f", target_format, *(("-o", options) if options else ()), target, str(self.size))
        node = f"driver={target_format},node-name=target0,file.driver=file,file.filename={target}"
        return Backup(
            command="blockdev-backup",
            arguments={**common, "target": "target0"},
            target=target,
            target_format=target_format,
            nodes=("-blockdev", node),
        )

    def play(self) -> None:
        """All of it. Raises AssertionError when something was lost."""
        backup = self.backup(0)
        try:
            self._start(backup)
            self.use(self.random.randrange(8))
            self.flush()
            before = self.model.content()
            self._kill_while_it_copies(backup)
        finally:
            self.machine.kill()
        self._expect_nothing_lost(backup, before)
        self._expect_next_backup()

    def _kill_while_it_copies(self, backup: Backup) -> None:
        process = self.machine.process
        assert process is not None
        by_time = self.random.random() < 0.7
        delay = self.random.random() ** 2 * LONGEST_KILL_DELAY_S
        timer = threading.Timer(delay, process.signal, [signal.SIGKILL])
        if by_time:
            timer.start()
        with suppress(ImplementationError):
            started = self.machine.execute(backup.command, dict(backup.arguments))
            assert started.error_class is None, started.description
            self.use(10_000 if by_time else self.random.randrange(12))
            process.signal(signal.SIGKILL)
        timer.cancel()
        assert process.wait(ROUND_DEADLINE_S) == -signal.SIGKILL, self.machine.stderr()

    def _expect_nothing_lost(self, backup: Backup, before: bytes) -> None:
        expect_sound(self.source, self.format)
        content = self.folder / "content"
        must("convert", "-f", self.format, "-O", "raw", self.source, content)
        self.model.expect(content.read_bytes())
        if not backup.target.exists() or not _is_created(backup):
            return
        expect_sound(backup.target, backup.target_format)
        completed = self.machine.recorder.find_event(0, _is_completed)
        if completed is not None and backup.command == "drive-backup":
            point_in_time = self.folder / "before"
            point_in_time.write_bytes(before)
            must("compare", "-f", "raw", "-F", backup.target_format, point_in_time, backup.target)

    def _expect_next_backup(self) -> None:
        """Onto a new target, by a new program."""
        backup = self.backup(1)
        self.machine = self._machine(1)
        try:
            self._start(backup)
            started = self.machine.execute(backup.command, {**backup.arguments, "speed": 0})
            assert started.error_class is None, started.description
            recorder = self.machine.recorder
            recorder.wait(lambda: recorder.find_event(0, _is_completed), waiting_for="the next backup to complete")
            self.machine.quit()
        finally:
            self.machine.kill()
        expect_sound(backup.target, backup.target_format)
        must("compare", "-f", "raw", "-F", backup.target_format, self.folder / "content", backup.target)


def _is_completed(name: str, data: Mapping[str, object]) -> bool:
    """Whether the event says that the job has succeeded; none of these may fail."""
    if name != "BLOCK_JOB_COMPLETED":
        return False
    assert "error" not in data, data
    return True


def _is_created(backup: Backup) -> bool:
    """Whether drive-backup got so far as to write the header of its target."""
    return backup.target_format == "raw" or backup.target.stat().st_size > 0


@pytest.mark.parametrize("source", ["raw", "qcow2", "qcow2-512", "qcow2-extended", "qcow2-2M"])
def test_a_kill_leaves_sound_images(source: str, tmp_path: Path, repetitions: Callable[[int], int]) -> None:
    first = int(os.environ.get("BACKCHECK_SEED", random.randrange(1 << 30)))
    for seed in range(first, first + repetitions(40)):
        print(f"seed {seed}")
        folder = tmp_path / str(seed)
        folder.mkdir()
        Round(folder, source, random.Random(seed)).play()
        shutil.rmtree(folder)
