"""Random programs on the engine: it keeps what the model promises, with the installed qemu-img as a witness.

`BACKCHECK_SEED=N` repeats the programs of a run that printed `seed N`; what fails is shrunk and printed as a case.
"""

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from backcheck.implementation import Implementation, find_implementation
from tests.model.programs import STEPS, machine
from tests.model.running import answers, failure, with_real_tools
from tests.model.source import Program, case_source, told

PROGRAMS = 2000
BATCHES = 8
LONGEST_S = 900


@pytest.fixture(scope="session")
def engine() -> Implementation:
    """The engine, judged by the installed tools where there are any."""
    return with_real_tools(find_implementation("engine"))


def must_pass(program: Program, implementation: Implementation) -> None:
    """Runs a program. Raises AssertionError with the case that it is when it fails."""
    source = case_source(told(program))
    result, _ = answers(source, implementation)
    why = failure(result)
    assert why is None, f"{implementation.name} {why}\n\nas a case, cases/NNN_what_it_promises.py:\n\n{source}"


@pytest.mark.timeout(LONGEST_S)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_programs(engine: Implementation, batch: int, repetitions: Callable[[int], int]) -> None:
    seed = int(os.environ.get("BACKCHECK_SEED", random.randrange(1 << 30)))
    print(f"seed {seed}")
    run_state_machine_as_test(
        machine(lambda program: must_pass(program, engine), seed=seed + batch),
        settings=settings(
            max_examples=repetitions(PROGRAMS) // BATCHES,
            stateful_step_count=STEPS,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
