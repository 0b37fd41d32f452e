"""The engine's program killed at random moments of a backup: no image is corrupt, and nothing that was flushed is lost.

A round starts the program on a disk with a random history, starts a random backup, lets a guest write, and kills the
program: after a random number of requests, after a random time (every moment is a valid one), or when the job is in
some state. The witnesses are the installed qemu-img and QEMU, which makes the next backup as the engine does.
`BACKCHECK_SEED=N` repeats the first round of a run that printed `seed N`, but for the moment.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.kill_rounds import Round

ROUNDS = 100
"""Of each kind of source."""
PROGRAMS = ("engine", "qemu")

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-img") is None or shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed"
)


@pytest.mark.parametrize("source", ["raw", "qcow2", "qcow2-512", "qcow2-extended", "qcow2-2M"])
def test_a_kill_leaves_sound_images(
    source: str, tmp_path: Path, first_seed: int, repetitions: Callable[[int], int], soak: bool
) -> None:
    """The next backup is made by both programs in a soak, else by one of them."""
    for seed in range(first_seed, first_seed + repetitions(ROUNDS)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        round_ = Round(folder, source, random.Random(seed))
        print(f"seed {seed}: {round_.state}")
        round_.play(PROGRAMS if soak else [PROGRAMS[seed % 2]])
        shutil.rmtree(folder)
