"""The same conversation with a real QEMU and with the engine as that release: replies, and each job's lane.

A step is a command with its arguments; `hmp` is a line of the human monitor, `until` waits for a job's state, and
JOBS_END for every job that was started to come to rest. Lanes are without what depends on timing: `paused running`
pairs, and how far a job had come that is cancelled.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.monitor.program import ENGINE, MACHINE, Message, Peer, peer, real_program, running

Step: TypeAlias = "tuple[str, dict[str, Any]]"

_NONE = "(nothing)"
_AT_REST = ("null", "pending", "concluded")
_VOLATILE = ("actual-size", "timestamp")
_PROGRESS = ("current-progress", "offset", "busy", "count")


def hmp(line: str) -> Step:
    """A line of the human monitor."""
    return "human-monitor-command", {"command-line": line}


def until(status: str, job: str = "j0") -> Step:
    """Not a command: wait until a job is in that state."""
    return "until", {"status": status, "id": job}


def happened(event: str, who: str) -> Step:
    """Not a command: wait until an event of that name has come about a job or a device."""
    return "happened", {"event": event, "id": who}


JOBS_END: Step = ("jobs_end", {})


@dataclass
class Transcript:
    """What a program said: its replies in order, each job's lane, its output, and the lines about images it made."""

    replies: list[Any] = field(default_factory=list)
    lanes: dict[str, list[str]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    """All that it wrote, such as what qemu-io says."""


class Conversation:
    """A client's side of it, step by step."""

    def __init__(self, client: Peer) -> None:
        self._client = client
        self._status: dict[str, str] = {}
        self.transcript = Transcript()

    @staticmethod
    def is_command(step: Step) -> bool:
        """Whether a step has a reply."""
        return step[0] not in ("until", "happened", "jobs_end")

    def take(self, step: Step) -> None:
        """Send a command and keep its reply, or wait."""
        name, arguments = step
        if name == "until":
            while self._status.get(arguments["id"]) != arguments["status"]:
                self._note(self._client.message())
        elif name == "happened":
            while not any(entry.startswith(arguments["event"]) for entry in self._lane(arguments["id"])):
                self._note(self._client.message())
        elif name == "jobs_end":
            self._wait_for_rest()
        else:
            self.transcript.replies.append(_plain(self.ask(name, arguments)))

    def ask(self, name: str, arguments: dict[str, Any]) -> Message:
        """A command's reply, which is not kept."""
        reply = self._client.execute(name, **arguments)
        for event in self._client.events:
            self._note(event)
        self._client.events.clear()
        return reply

    def _wait_for_rest(self) -> None:
        while any(status not in _AT_REST for status in self._status.values()) or self._is_ending():
            self._note(self._client.message())

    def _is_ending(self) -> bool:
        """Whether a job is about to finalize itself. No member of a group may wait for a client then."""
        jobs = self.ask("query-block-jobs", {})["return"]
        return any(job["status"] == "pending" and job["auto-finalize"] for job in jobs)

    def _note(self, event: Message) -> None:
        data = event.get("data", {})
        if event["event"] == "JOB_STATUS_CHANGE":
            self._status[data["id"]] = data["status"]
            self._add(data["id"], data["status"])
        else:
            if event["event"] == "BLOCK_JOB_CANCELLED":
                del data["offset"]
            identity = data.get("id") or data.get("device") or event["event"]
            self._add(identity, f"{event['event']} {json.dumps(data, sort_keys=True)}")

    def _lane(self, identity: str) -> list[str]:
        return self.transcript.lanes.setdefault(identity, [])

    def _add(self, identity: str, entry: str) -> None:
        lane = self._lane(identity)
        lane.append(entry)
        if lane[-2:] == ["paused", "running"]:
            del lane[-2:]


def _plain(value: Any) -> Any:
    """A reply without what differs from run to run."""
    if isinstance(value, dict):
        # Nobody knows how far a job that runs is, its bitmaps, which have no name, and the files that it writes.
        is_moving = value.get("status") == "running" or ("granularity" in value and "name" not in value)
        dropped: tuple[str, ...] = _VOLATILE + _PROGRESS if is_moving else _VOLATILE
        if value.get("format") == "file":
            dropped += ("virtual-size",)
        return {key: _plain(member) for key, member in value.items() if key not in dropped}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return re.sub(r"#block\d+", "#block", value) if isinstance(value, str) else value


def tell(
    program: Sequence[str],
    release: str | None,
    folder: Path,
    arguments: Sequence[str],
    steps: Sequence[Step],
    machine: tuple[str, ...] = MACHINE,
) -> Transcript:
    """Run one program through all steps, in a folder of its own.

    It gets its end of a connection: one that connects while QEMU 5.2 starts may be greeted twice, or never.
    """
    client, server = socket.socketpair()
    options = [*arguments, "-chardev", f"socket,id=monitor,fd={server.fileno()}", "-mon", "monitor,mode=control"]
    with (
        client,
        server,
        running(
            *options,
            program=tuple(program),
            release=release,
            machine=machine,
            folder=folder,
            pass_fds=(server.fileno(),),
        ) as process,
    ):
        server.close()
        monitor = peer(client)
        monitor.negotiate()
        conversation = Conversation(monitor)
        for step in steps:
            conversation.take(step)
        client.close()
        process.kill()
        output, _ = process.communicate()
    transcript = conversation.transcript
    transcript.output += output.decode().splitlines()
    transcript.made += [line for line in transcript.output if line.startswith("Formatting ")]
    return transcript


def both(
    release: str, folders: tuple[Path, Path], arguments: Sequence[str], steps: Sequence[Step], **options: Any
) -> tuple[Transcript, Transcript]:
    """What the real QEMU of a release says, and what the engine does."""
    real = tell([real_program(release)], None, folders[0], arguments, steps, **options)
    return real, tell(ENGINE, release, folders[1], arguments, steps, **options)


def differences(real: Any, engine: Any, path: str = "") -> list[str]:
    """Where two values differ, one line for each place."""
    if isinstance(real, dict) and isinstance(engine, dict):
        keys = sorted(real.keys() | engine.keys())
        return [
            line for key in keys for line in differences(real.get(key, _NONE), engine.get(key, _NONE), f"{path}.{key}")
        ]
    if isinstance(real, list) and isinstance(engine, list) and len(real) == len(engine):
        pairs = enumerate(zip(real, engine, strict=True))
        return [line for place, pair in pairs for line in differences(*pair, f"{path}[{place}]")]
    return [] if real == engine else [f"{path}: QEMU {real!r}, engine {engine!r}"]
