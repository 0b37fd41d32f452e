"""A round of killing: disks with a random history, a backup in some state, a kill, and what has to be left."""

import random
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backcheck.errors import ImplementationError
from backcheck.implementation import find_implementation
from backcheck.recording.recorder import Recorder
from backcheck.transcript import Direction
from backcheck.vm import Machine
from tests.soak.kill_disks import BITMAP, FORMATS, SECTOR, Disk, KiB, MiB, expect_sound, make_disk, must

LONGEST_KILL_DELAY_S = 0.4
ROUND_DEADLINE_S = 60.0
AT_REST = ("null", "concluded", "aborting")
STATES: Mapping[str, str | None] = {
    "running": None,
    "grouped": None,
    "paused": "paused",
    "failed": "paused",
    "pending": "pending",
    "concluded": "concluded",
}
"""How the job is when the program is killed -> the status that is waited for first."""
SYNCS = ("full", "full", "top", "none", "incremental", "bitmap")
WHOLE = ("full", "top")
"""What drive-backup makes a whole disk of, by itself or with the backing file that it gives to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup command; `target` is the image that it makes or fills."""

    disk: Disk
    command: str
    arguments: dict[str, Any]
    target: Path
    format: str
    nodes: tuple[str, ...] = ()
    """What the command line needs for it."""

    @property
    def job(self) -> str:
        return str(self.arguments["job-id"])

    @property
    def is_whole(self) -> bool:
        """Whether its target shows the whole disk when it has completed."""
        sync = self.arguments["sync"]
        return sync == "full" or (sync in WHOLE and self.command == "drive-backup")

    def without(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self.arguments.items() if name not in names}


class Round:
    """One or two disks, a backup of each, one kill."""

    def __init__(self, folder: Path, kind: str, generator: random.Random) -> None:
        self.random = generator
        self.folder = folder
        self.state = generator.choice(["running", *STATES])
        kinds = [kind, generator.choice(list(FORMATS))] if self.state == "grouped" else [kind]
        self.disks = [make_disk(folder, f"disk{n}", each, generator) for n, each in enumerate(kinds)]
        self.machine = self._machine("engine", "killed")

    def _machine(self, implementation: str, name: str) -> Machine:
        """A program that is not started yet."""
        folder = self.folder / name
        folder.mkdir()
        return Machine(find_implementation(implementation), folder, Recorder(deadline_s=ROUND_DEADLINE_S))

    def _start(self, backups: list[Backup]) -> None:
        drives = [word for disk in self.disks for word in ("-drive", disk.drive)]
        self.machine.start([*drives, *(word for backup in backups for word in backup.nodes)])

    def execute(self, command: str, arguments: dict[str, Any]) -> None:
        """A command that must not fail."""
        done = self.machine.execute(command, arguments)
        assert done.error_class is None, f"{command}: {done.description}"

    # The guest.

    def guest(self, disk: Disk, command: str) -> None:
        """A guest's request; returns when it is done, or sent if it is asynchronous. It must not fail."""
        self.execute("human-monitor-command", {"command-line": f'qemu-io {disk.name} "{command}"'})
        printed = [str(raw.message) for raw in self.machine.recorder.raw if raw.direction is Direction.STDOUT]
        assert not [line for line in printed if "failed" in line or "rror" in line], printed

    def _place(self, low: int, high: int) -> tuple[int, int]:
        offset = self.random.randrange(low // SECTOR, high // SECTOR) * SECTOR
        longest = self.random.choice([SECTOR, 4 * KiB, 64 * KiB, MiB])
        return offset, min(longest, high - offset)

    def write(self, disk: Disk) -> None:
        """A write, or a write of zeroes."""
        offset, length = self._place(0, disk.size)
        pattern = self.random.choice([0, *range(1, 256)]) if self.random.random() < 0.8 else 0
        disk.model.write(pattern, offset, length)
        zero_options = self.random.choice(["-z", "-z -u"])
        how = f"-P {pattern:#x}" if pattern else zero_options
        self.guest(disk, f"write {how} {offset} {length}")

    def writes_at_once(self, disk: Disk) -> None:
        """Writes that are in flight together, each in a third of the disk of its own."""
        third = disk.size // 3 // SECTOR * SECTOR
        for start in range(0, 3 * third, third):
            offset, length = self._place(start, start + third)
            pattern = self.random.randrange(1, 256)
            disk.model.write(pattern, offset, length)
            self.guest(disk, f"aio_write -P {pattern:#x} {offset} {length}")
        self.guest(disk, "aio_flush")

    def flush(self, disk: Disk) -> None:
        self.guest(disk, "flush")
        disk.model.flushed()

    def use(self, count: int) -> None:
        """Random requests."""
        for _ in range(count):
            act = self.random.choice([self.write, self.write, self.writes_at_once, self.flush])
            act(self.random.choice(self.disks))

    # The backups.

    def backup(self, disk: Disk, number: int, *, sync: str, by_node: bool) -> Backup:
        """A random backup; the target of blockdev-backup is made here, with any layout."""
        target = self.folder / f"target{number}-{disk.name}"
        format_name, options = FORMATS[self.random.choice(list(FORMATS))]
        if sync in ("top", "none"):
            format_name, options = FORMATS["qcow2"]  # what drive-backup gives a backing file
        arguments: dict[str, Any] = {"job-id": f"job-{disk.name}", "device": disk.name, "sync": sync}
        if format_name == "qcow2":
            arguments["compress"] = self.random.random() < 0.3
        if not by_node:
            arguments |= {"target": str(target), "format": format_name}
            return Backup(disk=disk, command="drive-backup", arguments=arguments, target=target, format=format_name)
        must("create", "-q", "-f", format_name, *(("-o", options) if options else ()), target, str(disk.size))
        node = f"target-{disk.name}"
        file = f"driver={format_name},node-name={node},file.driver=file,file.filename={target}"
        return Backup(
            disk=disk,
            command="blockdev-backup",
            arguments={**arguments, "target": node},
            target=target,
            format=format_name,
            nodes=("-blockdev", file),
        )

    def first_backup(self, disk: Disk) -> Backup:
        """The one that is killed."""
        sync = self.random.choice(SYNCS)
        if self.state == "failed" and sync == "none":
            sync = "full"  # else the error would be the guest's
        backup = self.backup(disk, 0, sync=sync, by_node=self.state == "failed" or self.random.random() < 0.5)
        arguments = backup.arguments
        if self.state in ("running", "paused", "grouped"):
            arguments["speed"] = self.random.choice([0, 8 * MiB, 16 * MiB])
        if sync in ("incremental", "bitmap"):
            arguments["bitmap"] = BITMAP
        if sync == "bitmap":
            arguments["bitmap-mode"] = self.random.choice(["always", "never", "on-success"])
        if self.state in ("pending", "concluded"):
            arguments |= {"auto-finalize": self.state != "pending", "auto-dismiss": False}
        if self.state != "failed":
            return backup
        arguments |= {"on-target-error": "stop", "compress": False}
        arguments["target"] = f"faulty-{disk.name}"
        rule = "inject-error.0.event=none,inject-error.0.iotype=write,inject-error.0.once=on,inject-error.0.errno=28"
        faulty = f"driver=blkdebug,node-name=faulty-{disk.name},image=target-{disk.name},{rule}"
        nodes = (*backup.nodes, "-blockdev", faulty)
        return Backup(
            disk=disk,
            command=backup.command,
            arguments=arguments,
            target=backup.target,
            format=backup.format,
            nodes=nodes,
        )

    # The story.

    def play(self, programs: Sequence[str]) -> None:
        """All of it, with a next backup by each of these programs. Raises AssertionError when something was lost."""
        backups = [self.first_backup(disk) for disk in self.disks]
        try:
            self._start(backups)
            for backup in backups:
                if "bitmap" in backup.arguments and not backup.disk.has_bitmap:
                    bitmap = {"node": backup.disk.name, "name": BITMAP}
                    self.execute("block-dirty-bitmap-add", {**bitmap})
            self.use(self.random.randrange(8))
            for disk in self.disks:
                self.flush(disk)
            before = {disk.name: disk.model.content() for disk in self.disks}
            self._kill(backups)
        finally:
            self.machine.kill()
        for disk in self.disks:
            disk.expect_kept()
        for backup in backups:
            self._expect_target(backup, before[backup.disk.name])
        for number, implementation in enumerate(programs, 1):
            self._expect_next_backups(number, implementation)

    def _kill(self, backups: list[Backup]) -> None:
        process = self.machine.process
        assert process is not None
        wanted = STATES[self.state]
        by_time = wanted is None and self.random.random() < 0.7
        timer = threading.Timer(self.random.random() ** 2 * LONGEST_KILL_DELAY_S, process.signal, [signal.SIGKILL])
        if by_time:
            timer.start()
        with suppress(ImplementationError):
            self._begin(backups)
            if self.state == "paused":
                # It may have ended by now.
                self.machine.execute("job-pause", {"id": backups[0].job})
            if wanted and not (backups[0].arguments["sync"] == "none" and self.state != "paused"):
                self._wait_for(backups[0].job, wanted)
            self.use(10_000 if by_time else self.random.randrange(12))
            process.signal(signal.SIGKILL)
        timer.cancel()
        assert process.wait(ROUND_DEADLINE_S) == -signal.SIGKILL, self.machine.stderr()

    def _begin(self, backups: list[Backup]) -> None:
        if self.state != "grouped":
            self.execute(backups[0].command, backups[0].arguments)
            return
        actions = [{"type": backup.command, "data": backup.arguments} for backup in backups]
        self.execute("transaction", {"actions": actions, "properties": {"completion-mode": "grouped"}})

    def _wait_for(self, job: str, status: str) -> None:
        """Until a job is in a state, or has come to an end without."""

        def happened(name: str, data: Mapping[str, object]) -> bool:
            return name == "JOB_STATUS_CHANGE" and data["id"] == job and data["status"] in (status, *AT_REST)

        self._wait_for_event(happened, f"{job} to be {status}")

    def _wait_for_event(self, wanted: Callable[[str, Mapping[str, object]], bool], what: str) -> None:
        recorder = self.machine.recorder
        recorder.wait(lambda: recorder.find_event(0, wanted), waiting_for=what)

    def _expect_target(self, backup: Backup, before: bytes) -> None:
        """What the killed job has left."""
        if not backup.target.exists() or not _is_created(backup):
            return
        expect_sound(backup.target, backup.format)
        # Nobody has flushed a target that still has its node.
        is_closed = backup.command == "drive-backup"
        if is_closed and backup.is_whole and self.machine.recorder.find_event(0, _Completed(backup.job)) is not None:
            point_in_time = self.folder / "before"
            point_in_time.write_bytes(before)
            must("compare", "-f", "raw", "-F", backup.format, point_in_time, backup.target)

    def _expect_next_backups(self, number: int, implementation: str) -> None:
        """Onto new targets, by a new program, which refuses what the bitmap says."""
        sync = self.random.choice(WHOLE)
        backups = [self.backup(disk, number, sync=sync, by_node=self.random.random() < 0.5) for disk in self.disks]
        self.machine = self._machine(implementation, f"next-{implementation}")
        try:
            self._start(backups)
            for backup in backups:
                self._expect_inconsistent(backup)
                self.execute(backup.command, backup.arguments)
                self._wait_for_event(_Completed(backup.job), f"{backup.job} to complete")
            self.machine.quit()
        finally:
            self.machine.kill()
        for backup in backups:
            expect_sound(backup.target, backup.format)
            if backup.is_whole:
                must("compare", "-f", "raw", "-F", backup.format, backup.disk.content, backup.target)

    def _expect_inconsistent(self, backup: Backup) -> None:
        """A bitmap that nobody wrote back is of no use any more."""
        if not backup.disk.has_bitmap:
            return
        incremental = {**backup.without("sync"), "sync": "incremental", "bitmap": BITMAP}
        refused = self.machine.execute(backup.command, incremental)
        assert refused.description is not None
        assert f"Bitmap '{BITMAP}' is inconsistent" in refused.description
        if backup.command == "drive-backup":
            backup.target.unlink(missing_ok=True)


class _Completed:
    """Whether an event says that a job has succeeded; none of these may fail."""

    def __init__(self, job: str) -> None:
        self._job = job

    def __call__(self, name: str, data: Mapping[str, object]) -> bool:
        if name != "BLOCK_JOB_COMPLETED" or data["device"] != self._job:
            return False
        assert "error" not in data, data
        return True


def _is_created(backup: Backup) -> bool:
    """Whether drive-backup got so far as to write the header of its target."""
    return backup.format == "raw" or backup.target.stat().st_size > 0
