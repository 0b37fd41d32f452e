"""dissect.hypervisor as a witness: in a process of its own, with little memory and a deadline."""

import hashlib
import importlib.util
import json
import select
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("dissect_reader.py")
DEADLINE_S = 60


def is_installed() -> bool:
    """Whether there is such a reader; nothing of it is imported here."""
    return all(importlib.util.find_spec(name) is not None for name in ("dissect", "dissect.hypervisor"))


class StrictReader:
    """A running dissect_reader.py, which says there what it is a witness of."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def ask(self, path: Path) -> dict[str, object]:
        """What it says of an image."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n".encode())
        ready, _, _ = select.select([self._process.stdout], [], [], DEADLINE_S)
        assert ready, f"dissect.hypervisor has not read {path.name} within {DEADLINE_S} s"
        line = self._process.stdout.readline()
        assert line, f"dissect.hypervisor ended over {path.name}"
        said: dict[str, object] = json.loads(line)
        return said

    def expect(self, path: Path, content: bytes) -> None:
        """An image holds that content."""
        assert self.ask(path) == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}, path.name

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
