"""The README's pull backup works as it stands on the page, and its copy is the moment that was kept."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
SIZE = 64 * 2**20
WRITTEN = 3 * 2**20


def commands_of_the_page() -> list[str]:
    """The commands of the section, each with the lines that belong to it."""
    section = (PROJECT / "README.md").read_text().partition("## Pull a backup")[2].partition("\n## ")[0]
    lines = [line.removeprefix("    ") for line in section.splitlines() if line.startswith("    ")]
    commands: list[str] = []
    goes_on = in_document = False
    for line in lines:
        if goes_on or in_document:
            commands[-1] += f"\n{line}"
        else:
            commands.append(line)
        in_document = line.endswith("<<END") or (in_document and line != "END")
        goes_on = line.endswith("\\")
    return commands


def run(command: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert '"error"' not in done.stdout


class Monitor:
    """A conversation with the engine that the page started."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rwb")
        self._stream.readline()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: str) -> None:
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        self._stream.flush()
        while "return" not in (answer := json.loads(self._stream.readline())):
            assert "error" not in answer

    def quit(self) -> None:
        """End the engine, and wait until it has gone."""
        self.execute("quit")
        while self._stream.readline():
            pass
        self._stream.close()
        self._socket.close()


@pytest.mark.timeout(120)
@pytest.mark.skipif(not shutil.which("nbdcopy"), reason="nbdcopy (libnbd) is not installed")
def test_pull_backup_in_five_commands(tmp_path: Path) -> None:
    # A socket's path is short, and pytest's folders are not.
    folder = tmp_path / "p"
    folder.mkdir()
    if len(str(folder / "nbd.sock")) > 100:
        pytest.skip(f"{folder} is too long for a socket's path")
    commands = commands_of_the_page()
    assert len(commands) == 5
    create_disk, create_kept, start, keep, pull = commands
    run(create_disk, folder)
    run(f"backcheck-io -c 'write -q -P 0x11 0 {WRITTEN}' disk.qcow2", folder)
    run(create_kept, folder)
    run(start, folder)
    try:
        run(keep, folder)
    finally:
        monitor = Monitor(folder / "qmp.sock")
    try:
        run(pull, folder)
        moment = bytes([0x11]) * WRITTEN
        backup = folder / "backup.raw"
        assert backup.stat().st_size == SIZE
        assert backup.read_bytes() == moment + bytes(SIZE - WRITTEN)
        # The guest overwrites the start and the end, and what is pulled once more is as before.
        for offset in (0, WRITTEN - 4096, SIZE - 65536):
            monitor.execute("human-monitor-command", **{"command-line": f'qemu-io disk0 "write -P 0x22 {offset} 64k"'})
        run(pull, folder)
        assert backup.read_bytes() == moment + bytes(SIZE - WRITTEN)
    finally:
        monitor.quit()
