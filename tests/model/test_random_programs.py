"""Random programs on the engine: it keeps what the model promises, with the installed qemu-img as a witness.

`BACKCHECK_SEED=N` repeats the programs of a run that printed `seed N`; what fails is shrunk and printed as a case.
"""

import os
import random
from collections.abc import Callable

import pytest

from backcheck.implementation import Implementation
from tests.model.programs import run_programs
from tests.model.running import differences
from tests.model.source import Program, case_source, told

PROGRAMS = 2000
BATCHES = 8
LONGEST_S = 900


@pytest.mark.timeout(LONGEST_S)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_programs(side_by_side: list[Implementation], batch: int, repetitions: Callable[[int], int]) -> None:
    seed = int(os.environ.get("BACKCHECK_SEED", random.randrange(1 << 30)))
    print(f"seed {seed}")

    def must_pass(program: Program) -> None:
        world = told(program)
        wrong = "\n".join(differences(world, side_by_side))
        assert not wrong, f"{wrong}\n\nas a case, cases/NNN_what_it_promises.py:\n\n{case_source(world)}"

    run_programs(must_pass, seed=seed + batch, count=repetitions(PROGRAMS) // BATCHES)
