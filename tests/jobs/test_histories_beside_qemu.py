"""The same random history with the installed QEMU and with the engine as that release.

Compared are all replies, what jobs say of themselves, bitmaps with their digests after each job, and the content, the
layers and the consistency of every image that is left.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backcheck_engine.release import OBSERVED
from tests.jobs.histories import Author
from tests.jobs.storyteller import tell

QEMU = shutil.which("qemu-system-x86_64")
SEEDS = range(100, 108)

pytestmark = [
    pytest.mark.skipif(QEMU is None or shutil.which("qemu-io") is None, reason="no QEMU with its tools is installed"),
]


@pytest.fixture(scope="module")
def release() -> str:
    """The release that the engine has to imitate."""
    assert QEMU is not None
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"version (\d+\.\d+)", text)
    assert match is not None
    if match[1] not in {str(observed) for observed in OBSERVED[1:]}:
        pytest.skip(f"the installed QEMU is {match[1]}, whose backups were not observed")
    return match[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_answers_and_copies_as_qemu_does(seed: int, tmp_path: Path, release: str) -> None:
    assert QEMU is not None
    history = Author(seed).tell()
    expected = tell([QEMU], history, tmp_path / "qemu", release)
    answered = tell([sys.executable, "-m", "backcheck_engine"], history, tmp_path / "engine", release)
    assert answered == expected
