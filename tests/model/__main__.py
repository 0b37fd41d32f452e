"""Runs random programs side by side: `python -m tests.model --seed 1 --programs 20 --on engine --on qemu`.

Each implementation must keep what the model promises, and they must answer alike. What fails is printed as a case.
"""

import argparse
import random
import sys
import time

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from backcheck.errors import UsageError
from backcheck.golden.golden_file import compare_answers
from backcheck.implementation import Implementation, find_implementation
from tests.model.programs import STEPS, machine
from tests.model.running import answers, failure
from tests.model.source import Program, case_source, told


def programs(seed: int, count: int) -> list[Program]:
    """The programs of a seed."""
    found: list[Program] = []
    chosen = settings(
        max_examples=count,
        stateful_step_count=STEPS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine(found.append, seed), settings=chosen)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--programs", type=int, default=20, metavar="N")
    parser.add_argument("--only", type=int, metavar="N", help="only the program of that number")
    parser.add_argument("--on", action="append", metavar="IMPLEMENTATION")
    parser.add_argument("--print", action="store_true", help="print the cases, and run none")
    options = parser.parse_args()
    try:
        found = [find_implementation(name) for name in options.on or ["engine"]]
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"seed {options.seed}")
    failed = 0
    started = time.monotonic()
    for number, program in enumerate(programs(options.seed, options.programs)):
        if options.only is not None and number != options.only:
            continue
        world = told(program)
        source = case_source(world)
        if options.print:
            print(source)
        elif complaints := differences(source, found, steady=world.steady):
            failed += 1
            print(f"program {number}:", *complaints, source, sep="\n")
    print(f"{failed} failed, {time.monotonic() - started:.1f} s")
    return 1 if failed else 0


def differences(source: str, implementations: list[Implementation], *, steady: bool) -> list[str]:
    """What is wrong with a program: who failed it, and who answers otherwise than the first."""
    complaints: list[str] = []
    first = None
    for implementation in implementations:
        result, answer = answers(source, implementation)
        if why := failure(result):
            complaints.append(f"{implementation.name} {why}")
        elif first is None:
            first = (implementation.name, answer)
        elif steady and (difference := compare_answers(first[1], answer)) is not None:
            complaints.append(f"{implementation.name} answers otherwise than {first[0]}:\n{difference}")
    return complaints


if __name__ == "__main__":
    sys.exit(main())
