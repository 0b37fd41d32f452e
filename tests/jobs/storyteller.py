"""Tells a history to a program, and notes what it answered and what it left: for programs to be compared by."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tests.jobs.histories import NODE, History

ENDED = ("null", "gone")
START = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]


class Teller:
    """One program, spoken to over its standard input and output."""

    def __init__(self, process: subprocess.Popen[bytes], history: History) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout
        self._history = history
        self._states: list[str] = []
        """Of the job that was started last."""
        self._is_endless = False
        """Whether it copies nothing by itself."""
        self.notes: list[Any] = []
        """Commands and replies."""
        self.events: list[Any] = []
        """What jobs said of themselves."""

    def _messages(self) -> Iterator[dict[str, Any]]:
        """What the program sends; lines that are no JSON are for a person."""
        for line in self._output:
            if line.startswith(b"{"):
                yield json.loads(line)

    def _note_event(self, event: dict[str, Any]) -> None:
        if event["event"] == "JOB_STATUS_CHANGE":
            self._states.append(event["data"]["status"])
        elif event["event"].startswith("BLOCK_JOB_"):
            self.events.append((event["event"], event["data"]))

    def execute(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Send a command; its reply."""
        self._input.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._input.flush()
        for message in self._messages():
            if "error" in message:
                message["error"]["desc"] = re.sub(r"#block\d+", "#block", message["error"]["desc"])
            if "event" not in message:
                return message
            self._note_event(message)
        raise AssertionError(f"ended instead of answering {command}")

    def begin(self) -> None:
        """Read the greeting."""
        next(self._messages())
        self.execute("qmp_capabilities", {})

    def tell(self) -> None:
        """The whole history."""
        for command, arguments in self._history.steps:
            special = getattr(self, f"do_{command}", None)
            if special is not None:
                special(**arguments)
            elif command.endswith("-backup"):
                self.start(command, arguments)
            else:
                # The tests' own programs stop here to be looked at: nothing of a job changes without a command.
                self.notes.append((command, self.execute(command, arguments)))

    def start(self, command: str, arguments: dict[str, Any]) -> None:
        """Begin a backup; one that is refused has ended."""
        self._states.clear()
        self._is_endless = arguments["sync"] == "none"
        reply = self.execute(command, arguments)
        self.notes.append((command, arguments, reply))
        if "error" in reply:
            self._states.append("gone")

    def do_until(self, status: str) -> None:
        """Wait for a state of the job, or for its end."""
        while status not in self._states and not any(ended in self._states for ended in ENDED):
            self._note_event(next(self._messages()))

    def do_settle(self) -> None:
        """Wait until the job waits for something that will not happen by itself."""
        while not any(state in self._states for state in (*ENDED, "pending")):
            jobs = self.execute("query-block-jobs", {})["return"]
            if jobs and not jobs[0]["busy"] and (jobs[0]["offset"] or jobs[0]["speed"] == 0):
                return
            time.sleep(0.001)

    def do_finish(self) -> None:
        """Let the job, which has no speed limit any more, come to its end; one that is endless is cancelled."""
        if not self._is_endless:
            self.do_until("pending")
        self.notes.append(("job-finalize", self.execute("job-finalize", {"id": "j0"})))
        self.execute("job-cancel", {"id": "j0"})

    def do_bitmaps(self) -> None:
        """Note what the bitmaps of the disk look like."""
        for node in self.execute("query-named-block-nodes", {"flat": True})["return"]:
            if node["node-name"] == NODE:
                self.notes.append(("bitmaps", node.get("dirty-bitmaps")))
        for name in self._history.bitmaps:
            digest = self.execute("x-debug-block-dirty-bitmap-sha256", {"node": NODE, "name": name})
            self.notes.append((name, digest))


def tell(program: list[str], history: History, folder: Path, release: str) -> list[Any]:
    """What `program` answers to the history in a folder of its own, and the images that are there afterwards."""
    folder.mkdir()
    for arguments in history.tools:
        subprocess.run(arguments, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(
        [*program, *START, *history.options],
        cwd=folder,
        env=os.environ | {"BACKCHECK_RELEASE": release},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            teller = Teller(process, history)
            teller.begin()
            teller.tell()
            teller.execute("quit", {})
        except BaseException:
            process.kill()
            raise
    seen = [look_at(folder, *target) for target in [history.disk, *history.targets]]
    return [*teller.notes, *teller.events, *seen]


def look_at(folder: Path, name: str, kind: str) -> Any:
    """(content, map, check) of an image as the installed qemu-img sees it."""
    if not (folder / name).exists():
        return name, "missing"
    plain = folder / f"{name}.plain"
    subprocess.run(["qemu-img", "convert", "-f", kind, "-O", "raw", name, plain.name], cwd=folder, check=True)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    plain.unlink()
    output = ["--output=json", "-f", kind, name]
    extents = json.loads(subprocess.run(["qemu-img", "map", *output], cwd=folder, capture_output=True).stdout)
    checked = subprocess.run(["qemu-img", "check", *output], cwd=folder, capture_output=True).returncode
    return name, digest, depths(extents), checked


def depths(extents: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """A map as (end, depth), neighbours that are alike joined.

    Where something lies does not matter, nor whether zeroes are stored: that depends on which chunks they came in.
    """
    joined: list[tuple[int, int]] = []
    for extent in extents:
        if joined and joined[-1][1] == extent["depth"]:
            joined.pop()
        joined.append((extent["start"] + extent["length"], extent["depth"]))
    return joined
