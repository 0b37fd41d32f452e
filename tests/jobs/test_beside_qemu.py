"""The same conversation with the installed QEMU and with the engine as that release: replies, and each job's lane.

What passes between the two is compared as it came, but for `paused running` pairs, which depend on timing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

import pytest

from backcheck_engine.release import OBSERVED

MiB = 1024 * 1024
QEMU = shutil.which("qemu-system-x86_64")
Command: TypeAlias = "tuple[str, dict[str, Any]]"
Answers: TypeAlias = "tuple[list[Any], dict[str, list[Any]]]"

pytestmark = [
    pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed"),
]


def backup(**arguments: Any) -> Command:
    """A backup of disk0 to the node `target`, unless said otherwise."""
    members = {"job-id": "j0", "device": "disk0", "target": "target", "sync": "full"}
    return "blockdev-backup", members | {name.replace("_", "-"): value for name, value in arguments.items()}


def job(verb: str, **arguments: Any) -> Command:
    """A verb on j0, of either family."""
    return verb, {("device" if verb.startswith("block-job") else "id"): "j0"} | arguments


def until(status: str, job_id: str = "j0") -> Command:
    """Not a command: wait for that state."""
    return "until", {"status": status, "id": job_id}


STORIES: dict[str, list[Command]] = {
    "success": [backup(), until("null"), ("query-jobs", {}), ("query-block-jobs", {})],
    "by hand": [
        backup(auto_finalize=False, auto_dismiss=False),
        until("pending"),
        job("job-pause"),
        job("job-resume"),
        job("job-complete"),
        job("job-dismiss"),
        job("block-job-set-speed", speed=-1),
        ("query-jobs", {}),
        ("query-block-jobs", {}),
        job("job-finalize"),
        job("job-finalize"),
        job("block-job-cancel"),
        ("query-block-jobs", {}),
        ("block-job-dismiss", {"id": "j0"}),
        ("block-job-dismiss", {"id": "j0"}),
        job("job-dismiss"),
    ],
    "cancelled": [
        backup(speed=1),
        job("job-cancel"),
        until("null"),
        backup(auto_finalize=False, auto_dismiss=False),
        until("pending"),
        job("block-job-cancel"),
        until("concluded"),
        ("query-block-jobs", {}),
        job("job-cancel"),
        job("job-dismiss"),
    ],
    "paused": [
        backup(speed=1),
        job("job-pause"),
        until("paused"),
        job("block-job-pause"),
        job("block-job-cancel"),
        job("block-job-set-speed", speed=0),
        job("block-job-set-speed", speed=-1),
        job("block-job-resume"),
        until("null"),
        job("block-job-resume"),
        job("job-resume"),
    ],
    "refused": [
        backup(target="nope"),
        backup(device="nope"),
        backup(device="empty"),
        backup(target="node"),
        backup(target="larger"),
        backup(target="read-only"),
        backup(target="null", compress=True),
        backup(bitmap_mode="never"),
        backup(job_id="1j"),
        backup(job_id=""),
        backup(speed=-1),
        until("null"),
        backup(filter_node_name="1x"),
        backup(filter_node_name="target"),
        backup(filter_node_name="disk0"),
        backup(filter_node_name="x" * 40),
        backup(auto_finalize=False),
        until("pending"),
        backup(job_id="j1"),
        backup(job_id="j1", device="node"),
        backup(device="node", target="null"),
        ("blockdev-del", {"node-name": "target"}),
        job("job-finalize"),
        until("null"),
    ],
    "errors": [
        backup(target="failing"),
        until("null"),
        backup(target="failing", on_target_error="stop"),
        until("paused"),
        ("query-block-jobs", {}),
        job("job-pause"),
        job("block-job-cancel"),
        job("job-cancel"),
        until("null"),
    ],
    "drive-backup": [
        ("drive-backup", {"device": "disk0", "target": "no/where", "sync": "full"}),
        ("drive-backup", {"device": "disk0", "target": "t", "sync": "full", "format": "nosuch"}),
        ("drive-backup", {"device": "disk0", "target": "t", "sync": "full", "mode": "existing"}),
        ("drive-backup", {"device": "disk0", "target": "t", "sync": "full", "compress": True}),
        ("drive-backup", {"device": "disk0", "target": "t", "sync": "full", "job-id": "j0", "format": "qcow2"}),
        until("null"),
        ("drive-backup", {"device": "disk0", "target": "t", "sync": "full", "mode": "existing", "format": "raw"}),
        ("drive-backup", {"device": "node", "target": "t2", "sync": "full"}),
        until("null", "disk0"),
    ],
}

FAILING = {
    "driver": "raw",
    "node-name": "failing",
    "file": {
        "driver": "blkdebug",
        "image": {"driver": "file", "filename": "failing.img"},
        "inject-error": [{"event": "pwritev", "sector": 2048}],
    },
}


@dataclass
class Conversation:
    """One program, spoken to over its standard input and output."""

    process: subprocess.Popen[bytes]
    replies: list[Any] = field(default_factory=list)
    lanes: dict[str, list[Any]] = field(default_factory=dict)
    finished: list[tuple[str, str]] = field(default_factory=list)

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the program sends; lines that are no JSON are for a person."""
        for line in self.output:
            if line.startswith(b"{"):
                yield json.loads(line)

    def note(self, event: dict[str, Any]) -> None:
        """Put an event of a job into its lane."""
        data = event.get("data", {})
        name = str(data.get("id", data.get("device")))
        if event["event"] == "JOB_STATUS_CHANGE":
            self.finished.append((data["status"], name))
            self.lanes.setdefault(name, []).append(data["status"])
        elif event["event"].startswith("BLOCK_JOB"):
            self.lanes.setdefault(name, []).append((event["event"], data))

    def execute(self, command: str, arguments: dict[str, Any]) -> Any:
        """Send a command and note everything up to its reply, which is returned."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.process.stdin.flush()
        for message in self.messages():
            if "event" not in message:
                return message.get("return", message.get("error"))
            self.note(message)
        raise AssertionError(f"ended instead of answering {command}")

    def tell(self, command: str, arguments: dict[str, Any]) -> None:
        """Execute a command of the story and keep its reply."""
        starts = command.endswith("-backup")
        if starts:
            self.finished.clear()
        self.replies.append((command, arguments, self.execute(command, arguments)))
        if starts:
            # The pause that belongs to every start is not one to wait for.
            self.finished = [entry for entry in self.finished if entry[0] != "paused"]

    def until(self, status: str, name: str) -> None:
        """Note events up to the one that says so; states that came before the last wait do not count."""
        while (status, name) not in self.finished:
            message = next(self.messages())
            self.note(message)
        self.finished.clear()


def run_story(program: list[str], story: list[Command], folder: Path, release: str) -> Answers:
    """Tell `program` a story in a folder of its own."""
    folder.mkdir()
    for name, size in [
        ("disk0.img", 4),
        ("target.img", 4),
        ("larger.img", 5),
        ("read-only.img", 4),
        ("failing.img", 4),
    ]:
        (folder / name).write_bytes((b"\x11" if name == "disk0.img" else b"\0") * size * MiB)
    nodes = [
        {"driver": "raw", "node-name": "target", "file": {"driver": "file", "filename": "target.img"}},
        {"driver": "raw", "node-name": "larger", "file": {"driver": "file", "filename": "larger.img"}},
        {
            "driver": "raw",
            "node-name": "read-only",
            "read-only": True,
            "file": {"driver": "file", "filename": "read-only.img"},
        },
        {"driver": "null-co", "node-name": "null", "size": 4 * MiB, "read-zeroes": True},
        FAILING,
    ]
    options = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
    options += ["-drive", "if=none,id=disk0,node-name=node,file=disk0.img,format=raw", "-drive", "if=none,id=empty"]
    for node in nodes:
        options += ["-blockdev", json.dumps(node)]
    environment = os.environ | {"BACKCHECK_RELEASE": release}
    with subprocess.Popen(
        [*program, *options],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            conversation = Conversation(process)
            next(conversation.messages())
            conversation.execute("qmp_capabilities", {})
            for command, arguments in story:
                if command == "until":
                    conversation.until(arguments["status"], arguments["id"])
                else:
                    conversation.tell(command, arguments)
            conversation.execute("quit", {})
        finally:
            process.kill()
    lanes = {name: without_pairs(lane) for name, lane in conversation.lanes.items()}
    return conversation.replies, lanes


def without_pairs(lane: list[Any]) -> list[Any]:
    """A lane without the pairs that drained sections make."""
    kept: list[Any] = []
    for entry in lane:
        if entry == "running" and kept[-1:] == ["paused"] and kept[-2:-1] == ["running"]:
            kept.pop()
        else:
            kept.append(entry)
    return kept


@pytest.fixture(scope="module")
def release() -> str:
    """The release that the engine has to imitate."""
    assert QEMU is not None
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"version (\d+\.\d+)", text)
    assert match is not None
    if match[1] not in {str(observed) for observed in OBSERVED}:
        pytest.skip(f"the installed QEMU is {match[1]}, whose behaviour was not observed")
    return match[1]


@pytest.mark.parametrize("name", STORIES)
def test_the_engine_answers_as_qemu_does(name: str, tmp_path: Path, release: str) -> None:
    assert QEMU is not None
    expected = run_story([QEMU], STORIES[name], tmp_path / "qemu", release)
    answered = run_story([sys.executable, "-m", "backcheck_engine"], STORIES[name], tmp_path / "engine", release)
    assert answered == expected
