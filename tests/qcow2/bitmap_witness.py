"""The installed QEMU as a witness of persistent bitmaps: what it finds in an image, and what it leaves there."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = "qemu-system-x86_64"
NODE = "n"

needs_qemu_system = pytest.mark.skipif(
    shutil.which(PROGRAM) is None or shutil.which("qemu-img") is None,
    reason=f"{PROGRAM} or qemu-img is not installed",
)


class Monitor:
    """QMP with a running QEMU that has one image open as the node `n`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._read()
        self.execute("qmp_capabilities")

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # What qemu-io has done appears between the messages.
        while not (line := self._process.stdout.readline()).startswith("{"):
            assert line, f"QEMU ended: {self._process.wait(10)}"
        message: dict[str, Any] = json.loads(line)
        return message

    def execute(self, command: str, **arguments: object) -> Any:
        """The value that a command returns; it has to succeed."""
        assert self._process.stdin is not None
        request = {"execute": command, "arguments": {key.replace("_", "-"): v for key, v in arguments.items()}}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        while "return" not in (reply := self._read()):
            assert "error" not in reply, (request, reply)
        return reply["return"]

    def bitmap(self, command: str, name: str, **arguments: object) -> Any:
        """Run a block-dirty-bitmap command on a bitmap of the image."""
        prefix = "" if command.startswith("x-") else "block-dirty-bitmap-"
        return self.execute(prefix + command, node=NODE, name=name, **arguments)

    def write(self, offset: int, length: int) -> None:
        """Write to the image as a guest does."""
        line = f'qemu-io {NODE} "write -P 1 {offset} {length}"'
        self.execute("human-monitor-command", command_line=line)

    def digests(self) -> dict[str, str]:
        """What the image's usable bitmaps hold, by name."""
        digest = "x-debug-block-dirty-bitmap-sha256"
        return {
            name: self.bitmap(digest, name)["sha256"]
            for name, facts in self.facts().items()
            if not facts.get("inconsistent")
        }

    def facts(self) -> dict[str, dict[str, Any]]:
        """What query-named-block-nodes says about the image's bitmaps, by name."""
        nodes = self.execute("query-named-block-nodes", flat=True)
        node = next(node for node in nodes if node["node-name"] == NODE)
        return {facts["name"]: facts for facts in node.get("dirty-bitmaps", [])}


@contextmanager
def qemu(image: Path, *, read_only: bool = False, kill: bool = False) -> Iterator[Monitor]:
    """A QEMU with the image open, which ends orderly unless it is to be killed."""
    options = {
        "driver": "qcow2",
        "node-name": NODE,
        "read-only": read_only,
        "file": {"driver": "file", "filename": str(image)},
    }
    argv = [PROGRAM, "-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
    process = subprocess.Popen(
        [*argv, "-blockdev", json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        monitor = Monitor(process)
        yield monitor
        if not kill:
            monitor.execute("quit")
            process.wait(20)
    finally:
        process.kill()
        process.wait(20)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
