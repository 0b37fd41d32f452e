"""Random programs on the engine: it keeps what the model promises, with the installed qemu-img as a witness.

`BACKCHECK_SEED=N` repeats the programs of a run that printed `seed N`; what fails is shrunk and printed as a case.
"""

import math
import time
from collections.abc import Callable

import pytest
from hypothesis.errors import HypothesisException

from backcheck.implementation import Implementation
from tests.model.programs import run_programs
from tests.model.running import differences
from tests.model.source import Program, case_source, told
from tests.model.world import World

PROGRAMS = 2000
BATCHES = 8
SHRINK_S = 60.0
LONGEST_S = 900


class SmallEnough(BaseException):
    """Passes through Hypothesis: it need not look for a smaller program any longer."""


class Judge:
    """Runs programs, and keeps the smallest that failed; a smaller one is looked for only so often and so long."""

    def __init__(self, complaints: Callable[[World], list[str]], *, attempts: int = 400) -> None:
        self.failed: list[str] = []
        """The cases that failed, each with the complaints before it."""
        self._complaints = complaints
        self._attempts = attempts
        self._deadline = math.inf

    def __call__(self, program: Program) -> None:
        if self.failed:
            self._attempts -= 1
        if self._attempts < 0 or time.monotonic() > self._deadline:
            raise SmallEnough
        world = told(program)
        if wrong := self._complaints(world):
            self.failed.append("\n".join([*wrong, "", "as a case:", "", case_source(world)]))
            self._deadline = min(self._deadline, time.monotonic() + SHRINK_S)
            raise AssertionError(self.failed[-1])

    def run(self, *, seed: int, count: int) -> None:
        """Runs the programs of a seed. Raises AssertionError with the smallest case that failed."""
        try:
            run_programs(self, seed=seed, count=count)
        except (AssertionError, SmallEnough, HypothesisException) as error:
            if not self.failed:
                raise
            raise AssertionError(min(self.failed, key=len)) from error


@pytest.mark.timeout(LONGEST_S)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_programs(
    side_by_side: list[Implementation], batch: int, first_seed: int, repetitions: Callable[[int], int]
) -> None:
    print(f"seed {first_seed}")
    judge = Judge(lambda world: differences(world, side_by_side))
    judge.run(seed=first_seed + batch, count=repetitions(PROGRAMS) // BATCHES)


def clears_nothing(world: World) -> list[str]:
    """As an implementation whose bitmaps cannot be cleared would fail."""
    return ["a bitmap that was cleared still counts"] if any(".clear()" in line for line in world.lines) else []


def test_a_failing_program_is_made_small_and_printed() -> None:
    judge = Judge(clears_nothing, attempts=60)
    with pytest.raises(AssertionError) as caught:
        judge.run(seed=6, count=100)
    complaint, _, case = str(caught.value).partition("\n\nas a case:\n\n")
    assert complaint == "a bitmap that was cleared still counts"
    assert ".clear()" in case
    assert len(caught.value.args[0]) < len(judge.failed[0])
