"""The same conversation about bitmaps with a real QEMU and with the engine, and what both show after each command."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from tests.monitor.program import ENGINE, Message, Peer, real_program, running

KiB = 1024
MiB = 1024 * KiB

Command: TypeAlias = "tuple[str, Message]"
Step: TypeAlias = "tuple[str, Message, Any]"
"""A command, its reply, and the bitmaps of every node and device afterwards."""

_GENERATED = re.compile(r"#block\d+")


def bitmap(verb: str, node: str, name: str, **arguments: Any) -> Command:
    """`block-dirty-bitmap-VERB`."""
    return f"block-dirty-bitmap-{verb}", {"node": node, "name": name} | arguments


def merge(node: str, target: str, *sources: str | tuple[str, str]) -> Command:
    """A source is a name, or a node and a name."""
    bitmaps = [source if isinstance(source, str) else {"node": source[0], "name": source[1]} for source in sources]
    return "block-dirty-bitmap-merge", {"node": node, "target": target, "bitmaps": bitmaps}


def sha256(node: str, name: str) -> Command:
    return "x-debug-block-dirty-bitmap-sha256", {"node": node, "name": name}


def io(device: str, *commands: str) -> Command:
    """Guest's requests, by qemu-io through the monitor."""
    return "qemu-io", {"device": device, "commands": commands}


def until(status: str, job_id: str = "j0") -> Command:
    """Not a command: wait for that state."""
    return "until", {"status": status, "id": job_id}


def transaction(*actions: Command, **properties: str) -> Command:
    """All of them or none."""
    arguments: Message = {"actions": [{"type": name, "data": data} for name, data in actions]}
    return "transaction", arguments | ({"properties": properties} if properties else {})


ABORT: Command = ("abort", {})


class Conversation:
    """One program with its disks."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._statuses: set[tuple[str, str]] = set()

    def step(self, command: Command) -> Step:
        name, arguments = command
        reply = self._reply(name, arguments)
        return name, reply, None if _moves_a_job(command) else self._shown()

    def _reply(self, name: str, arguments: Message) -> Message:
        if name == "until":
            return self._wait(arguments["id"], arguments["status"])
        if name == "qemu-io":
            for line in arguments["commands"]:
                self._execute("human-monitor-command", {"command-line": f'qemu-io {arguments["device"]} "{line}"'})
            return {}
        return self._execute(name, arguments)

    def _execute(self, name: str, arguments: Message) -> Message:
        self._peer.send(json.dumps({"execute": name, "arguments": arguments}).encode())
        while "return" not in (message := self._message()) and "error" not in message:
            self._note(message)
        return message

    def _message(self) -> Message:
        """The next message; qemu-io's own words, which go to the same stream, are left out."""
        while not (line := self._peer.line()).startswith(b"{"):
            assert line, "the program has closed the connection"
        message: Message = json.loads(line)
        return message

    def _note(self, message: Message) -> None:
        if message.get("event") == "JOB_STATUS_CHANGE":
            self._statuses.add((message["data"]["id"], message["data"]["status"]))

    def _wait(self, job_id: str, status: str) -> Message:
        while (job_id, status) not in self._statuses:
            message = self._message()
            assert "event" in message, message
            self._note(message)
        return {}

    def _shown(self) -> Any:
        """(node, its bitmaps with digests), (device, its bitmaps, those of its node)."""
        nodes = self._execute("query-named-block-nodes", {"flat": True})["return"]
        devices = self._execute("query-block", {})["return"]
        return (
            [(_masked(node["node-name"]), self._with_digests(node)) for node in nodes if "dirty-bitmaps" in node],
            [
                (device["device"], device.get("dirty-bitmaps"), device.get("inserted", {}).get("dirty-bitmaps"))
                for device in devices
            ],
        )

    def _with_digests(self, node: Message) -> list[Message]:
        """The node's bitmaps, with the digest of those that can be named."""
        shown = []
        for info in node["dirty-bitmaps"]:
            digest = None
            if "name" in info:
                digest = self._execute(*sha256(node["node-name"], info["name"]))
            shown.append(info | {"sha256": digest})
        return shown


def _moves_a_job(command: Command) -> bool:
    """Whether a job runs after the command, so that what is shown depends on the moment."""
    name, arguments = command
    if name == "transaction":
        return any(action["type"] == "blockdev-backup" for action in arguments["actions"])
    return name in ("blockdev-backup", "job-cancel", "job-finalize")


def _masked(node_name: str) -> str:
    return _GENERATED.sub("#block", node_name)


def converse(
    release: str, program: tuple[str, ...], folder: Path, arguments: list[str], commands: list[Command]
) -> list[Step]:
    """Every step of the conversation with one program."""
    with running("-qmp", "stdio", *arguments, program=program, release=release, folder=folder) as process:
        peer = Peer.of_process(process)
        peer.negotiate()
        conversation = Conversation(peer)
        return [conversation.step(command) for command in commands]


def images(disks: dict[str, list[str]]) -> dict[str, bytes]:
    """Files by name, each given by the arguments of its creation: options, and its size at last."""
    return _made(tuple((name, *creation) for name, creation in disks.items()))


@functools.cache
def _made(disks: tuple[tuple[str, ...], ...]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for name, *options, size in disks:
            command = [sys.executable, "-m", "backcheck_engine.tools.img", "create", "-q", *options, name, size]
            subprocess.run(command, check=True, cwd=folder)
        return {name: Path(folder, name).read_bytes() for name, *_ in disks}


def assert_alike(
    release: str, folder: Path, files: dict[str, bytes], arguments: list[str], commands: list[Command]
) -> None:
    """The engine as that release answers and shows what the real one does, each with its own copy of the files."""
    real = real_program(release)
    shown = []
    for side, program in (("real", (real,)), ("engine", ENGINE)):
        here = folder / side
        here.mkdir()
        for name, content in files.items():
            (here / name).write_bytes(content)
        shown.append(converse(release, program, here, arguments, commands))
    for command, theirs, ours in zip(commands, *shown, strict=True):
        assert ours == theirs, f"after {command}"
